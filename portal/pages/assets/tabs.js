// The keys of a list of tabs, as in the pattern of the ARIA Authoring Practices Guide.

/** Returns the tab that the key of the event leads to, or undefined. */
export function moveWithin(event, tabs) {
  const at = tabs.indexOf(event.currentTarget);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined) return undefined;
  event.preventDefault();
  return tabs[(to + tabs.length) % tabs.length];
}
