import * as fc from "fast-check";
import { expect, it } from "vitest";

import { orderByDependency } from "../../src/model/execution-order.ts";
import { spec } from "../support/state.ts";

it("is the smallest order by name in which everything comes after what it depends on", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 20 }),
      fc.array(fc.tuple(fc.nat(19), fc.nat(19))),
      (names, pairs) => {
        // A later name depends on an earlier one of the list, so there is no circle.
        const specs = names.map((name, index) =>
          spec(name, {
            dependsOn: pairs
              .filter(([from, to]) => from === index && to < index)
              .map(([, to]) => names[to] ?? ""),
          }),
        );
        const { names: order, faults } = orderByDependency(specs);
        expect(faults.size).toBe(0);
        const left = new Map(specs.map((one) => [one.name, one]));
        for (const name of order) {
          const ready = [...left.values()].filter((one) =>
            one.dependsOn.every((needed) => !left.has(needed)),
          );
          expect(name).toBe(ready.map((one) => one.name).toSorted()[0]);
          left.delete(name);
        }
        expect(left.size).toBe(0);
      },
    ),
  );
});

it("names what is undeclared, and all that goes round in circles or waits for them", () => {
  const { names, faults } = orderByDependency([
    spec("a", { dependsOn: ["b"] }),
    spec("b", { dependsOn: ["a"] }),
    spec("c", { dependsOn: ["a"] }),
    spec("d", { dependsOn: ["x", "y"] }),
    spec("e"),
  ]);
  expect(names).toEqual(["d", "e"]);
  expect([...faults.keys()].toSorted()).toEqual(["a", "b", "c", "d"]);
  expect(faults.get("d")).toBe(
    "spec.dependsOn names x, y, which no manifest declares: declare it or remove it",
  );
});
