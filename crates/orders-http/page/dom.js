// Helpers for DOM elements.

export const $ = (id) => document.getElementById(id);

/** Creates an element with properties and children; strings become text nodes, never HTML. */
export function element(name, properties = {}, ...children) {
  const created = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) {
      created.addEventListener(key.slice(2), value);
    } else if (value !== undefined) {
      created.setAttribute(key, value);
    }
  }
  created.append(...children.filter((child) => child !== undefined));
  return created;
}

/**
 * Sets the children of a list. Children that stay are not removed and inserted again, so that they
 * keep the focus and their input.
 */
export function setChildren(list, children) {
  const kept = new Set(children);
  for (const child of [...list.children]) {
    if (!kept.has(child)) {
      child.remove();
    }
  }
  let next = list.firstElementChild;
  for (const child of children) {
    if (child === next) {
      next = next.nextElementSibling;
    } else {
      list.insertBefore(child, next);
    }
  }
}

/** Returns a function that schedules `draw` for the next frame, at most once per frame. */
export function oncePerFrame(draw) {
  let isScheduled = false;
  return () => {
    if (!isScheduled) {
      isScheduled = true;
      requestAnimationFrame(() => {
        isScheduled = false;
        draw();
      });
    }
  };
}

export const time = (text) => new Date(text).toLocaleTimeString();
