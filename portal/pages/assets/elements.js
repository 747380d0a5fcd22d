// Creates elements of the page. Text is never parsed as markup.

/** Returns an element with the attributes, those that are not false or undefined, and the children. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Returns a comment's text with what is in backticks as code. */
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

/** Shows parts of JSON, coloured by their kinds. */
export function showParts(place, parts) {
  place.replaceChildren(
    ...parts.map(({ kind, text }) => (kind === "mark" ? text : element("span", { class: `j-${kind}` }, text))),
  );
}
