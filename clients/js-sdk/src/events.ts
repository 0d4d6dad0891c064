/** A typed map of listeners. A listener that throws does not keep the others from hearing. */
export class Events<Map extends object> {
  readonly #listeners = new globalThis.Map<keyof Map, Set<(value: never) => void>>();

  on<Name extends keyof Map>(name: Name, listener: (value: Map[Name]) => void): () => void {
    let listeners = this.#listeners.get(name);
    if (!listeners) this.#listeners.set(name, (listeners = new Set()));
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  emit<Name extends keyof Map>(name: Name, value: Map[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as (value: Map[Name]) => void)(value);
      } catch (error) {
        // The fault belongs to the listener's author, so it surfaces as an uncaught error there.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
