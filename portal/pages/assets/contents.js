// The contents list of a page: its search, and its button in a narrow window.

import { element } from "./elements.js";

/** Returns the elements that a selector finds. */
export const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/** Lets the menu button show the list in a narrow window. */
export function offerContents() {
  const button = document.querySelector("[data-menu]");
  const contents = document.getElementById("contents");
  const show = (shown) => {
    contents.classList.toggle("shown", shown);
    button.setAttribute("aria-expanded", String(shown));
  };
  button.hidden = false;
  button.addEventListener("click", () => show(!contents.classList.contains("shown")));
  contents.addEventListener("click", (event) => { if (event.target.closest("a")) show(false); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && contents.classList.contains("shown")) {
      show(false);
      button.focus();
    }
  });
}

const AROUND = 36; // characters of a text that are shown before and after what was searched for

/**
 * Lets the search restrict the list to the links with every word in their name or in one of their
 * `partsOf`, each `{text, hash}`, and show the part that has a word that the name has not.
 */
export function offerSearch(partsOf) {
  const form = document.querySelector("[data-search]");
  const input = form.querySelector("input");
  const found = form.querySelector("[role=status]");
  const links = all("nav.contents li a");
  let known; // read when the first search begins
  const entries = () => (known ??= links.map((link) => ({
    link,
    name: link.textContent.toLowerCase(),
    parts: partsOf(link).map((part) => ({ ...part, lower: part.text.toLowerCase() })),
  })));

  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { link, name, parts } of entries()) {
      const others = words.filter((word) => !name.includes(word));
      const matches = others.every((word) => parts.some(({ lower }) => lower.includes(word)));
      link.parentElement.hidden = !matches;
      link.classList.toggle("by-name", matches && words.length > 0 && others.length === 0);
      link.parentElement.querySelector(".why")?.remove();
      if (matches && others.length > 0) link.after(reason(parts, others));
      if (matches) count += 1;
    }
    for (const section of all("nav.contents section")) {
      section.hidden = !section.querySelector("li:not([hidden])");
    }
    found.textContent = words.length === 0 ? "" : count === 0 ? "Nothing found" : `${count} found`;
  };
  const first = () => document.querySelector("nav.contents a.by-name") ?? document.querySelector("nav.contents li:not([hidden]) a");

  form.hidden = false;
  input.addEventListener("input", apply);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) first()?.click();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && input.value) {
      input.value = "";
      apply();
      event.stopPropagation();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select");
    const slash = event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
    const command = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
    if (slash || command) {
      event.preventDefault();
      input.focus();
      input.select();
    }
  });
}

/** Returns a link to the part with most of the words, with the text around the first of them. */
function reason(parts, words) {
  const found = (part) => words.filter((word) => part.lower.includes(word));
  const best = parts.reduce((one, other) => (found(other).length > found(one).length ? other : one));
  const [word] = found(best);
  const at = best.lower.indexOf(word);
  const from = at > AROUND ? best.text.lastIndexOf(" ", at - AROUND / 2) + 1 : 0;
  const to = at + word.length + AROUND;
  return element(
    "a",
    { class: "why", href: best.hash },
    from > 0 ? "…" : "",
    best.text.slice(from, at),
    element("mark", {}, best.text.slice(at, at + word.length)),
    best.text.slice(at + word.length, to),
    to < best.text.length ? "…" : "",
  );
}

/** Scrolls only the list until the link is visible. */
export function keepInView(link) {
  const contents = document.getElementById("contents");
  const [outer, inner] = [contents.getBoundingClientRect(), link.getBoundingClientRect()];
  if (inner.top < outer.top + 90) contents.scrollTop -= outer.top + 90 - inner.top;
  else if (inner.bottom > outer.bottom - 40) contents.scrollTop += inner.bottom - outer.bottom + 40;
}
