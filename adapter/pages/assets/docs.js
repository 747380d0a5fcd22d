// The reference's search, copy buttons, contents and addresses; the page reads well without it.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];

function showOwnAddress() {
  for (const place of all("[data-endpoint]")) place.textContent = `${location.origin}/`;
}

function offerCopies() {
  for (const button of all("[data-copy]")) {
    button.hidden = !navigator.clipboard; // only where the page came by HTTPS or from this machine
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy).textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not copied";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
}

function offerContents() {
  const button = document.querySelector("[data-menu]");
  const contents = document.getElementById("contents");
  const show = (shown) => {
    contents.classList.toggle("shown", shown);
    button.setAttribute("aria-expanded", String(shown));
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = !contents.classList.contains("shown");
    show(shown);
    if (shown) document.getElementById("search").focus();
  });
  contents.addEventListener("click", (event) => { if (event.target.closest("a")) show(false); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && contents.classList.contains("shown")) {
      show(false);
      button.focus();
    }
  });
}

function offerSearch() {
  const form = document.querySelector("[data-search]");
  const input = form.querySelector("input");
  const found = form.querySelector("[role=status]");
  const links = all("nav.contents li a");
  const texts = new Map(links.map((link) => {
    const entry = document.getElementById(link.hash.slice(1));
    return [link, `${link.textContent} ${entry?.querySelector(".samples") ? searchable(entry) : entry?.textContent ?? ""}`.toLowerCase()];
  }));

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
    found.textContent = words.length === 0 ? "" : count === 0 ? "Nothing has that in it" : `${count} found`;
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

function searchable(entry) {
  return all(".text .lead, .text .fields td, .text .reasons li", entry).map((part) => part.textContent).join(" ");
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

function keepInView(link) {
  const contents = document.getElementById("contents");
  const [outer, inner] = [contents.getBoundingClientRect(), link.getBoundingClientRect()];
  if (inner.top < outer.top + 90) contents.scrollTop -= outer.top + 90 - inner.top;
  else if (inner.bottom > outer.bottom - 40) contents.scrollTop += inner.bottom - outer.bottom + 40;
}

showOwnAddress();
offerCopies();
offerContents();
offerSearch();
markCurrent();
