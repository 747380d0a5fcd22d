// Copy buttons, search and URLs of the reference, which also works without them.

import { all, keepInView, offerContents, offerSearch } from "./contents.js";
import "./samples.js";

const line = (part) => part.textContent.replace(/\s+/g, " ").trim();

function searchable(link) {
  const entry = document.getElementById(link.hash.slice(1));
  if (entry === null) return [];
  const ofText = all("p:not(.general, .try, .limits, .rpc), .text > ul:not(.reasons) li", entry).map((part) => ({ text: line(part), hash: link.hash }));
  const ofRows = all("tr[id]", entry).map((row) => ({ text: line(row), hash: `#${row.id}` }));
  const ofErrors = all(".reasons li", entry).map((error) => ({ text: line(error), hash: link.hash }));
  return [...ofText, ...ofRows, ...ofErrors];
}

function markCurrent() {
  const links = new Map(all("nav.contents li a").map((link) => [link.hash.slice(1), link]));
  const visible = new Set();
  const observer = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      if (isIntersecting) visible.add(target.id); else visible.delete(target.id);
    }
    const current = all("[data-entry]").find((entry) => visible.has(entry.id));
    for (const [id, link] of links) {
      if (id === current?.id) {
        link.setAttribute("aria-current", "true");
        keepInView(link);
      } else {
        link.removeAttribute("aria-current");
      }
    }
  }, { rootMargin: "-110px 0px -60% 0px" });
  for (const entry of all("[data-entry]")) observer.observe(entry);
}

offerContents();
offerSearch(searchable);
markCurrent();
