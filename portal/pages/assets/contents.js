// The contents list of a page: its search, and its button in a narrow window.

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

/** Lets the search restrict the list to the links whose `textOf` contains every word. */
export function offerSearch(textOf) {
  const form = document.querySelector("[data-search]");
  const input = form.querySelector("input");
  const found = form.querySelector("[role=status]");
  const links = all("nav.contents li a");
  const texts = new Map(links.map((link) => [link, `${link.textContent} ${textOf(link)}`.toLowerCase()]));

  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const link of links) {
      const matches = words.every((word) => texts.get(link).includes(word));
      link.parentElement.hidden = !matches;
      link.classList.toggle("by-name", matches && words.length > 0 && words.every((word) => link.textContent.toLowerCase().includes(word)));
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

/** Scrolls only the list until the link is visible. */
export function keepInView(link) {
  const contents = document.getElementById("contents");
  const [outer, inner] = [contents.getBoundingClientRect(), link.getBoundingClientRect()];
  if (inner.top < outer.top + 90) contents.scrollTop -= outer.top + 90 - inner.top;
  else if (inner.bottom > outer.bottom - 40) contents.scrollTop += inner.bottom - outer.bottom + 40;
}
