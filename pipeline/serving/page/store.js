// What the browser remembers: JSON under names of ours. Storage may be full, switched off or hold another's text;
// then the page forgets, and works.

function keeper(storage) {
  return {
    get(name, otherwise = null) {
      try {
        return JSON.parse(storage().getItem(`loraql.${name}`)) ?? otherwise;
      } catch {
        return otherwise;
      }
    },
    set(name, value) {
      try {
        storage().setItem(`loraql.${name}`, JSON.stringify(value));
      } catch {
        // not remembered
      }
    },
  };
}

export const local = keeper(() => localStorage);
export const session = keeper(() => sessionStorage);
