// Samples of any page: the address of this host in them, and their copy buttons.

import { all } from "./contents.js";
import { offerCopy } from "./copying.js";

for (const place of all("[data-endpoint]")) place.textContent = `${location.origin}/`;
for (const button of all("[data-copy]")) {
  offerCopy(button, () => document.getElementById(button.dataset.copy).textContent);
}
