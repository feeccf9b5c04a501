import { expect, inject, it } from "vitest";

import { sample, thinOut } from "./sample.ts";

const PLACES = [0, 1, 2, 3, 4, 5];
const TABLE = PLACES.flatMap((row) =>
  PLACES.flatMap((column) => ["a", "b", "c"].map((layer) => ({ row, column, layer }))),
);

it("gives as many different cases as asked for, in their order", () => {
  const chosen = thinOut(TABLE, 20);
  expect(new Set(chosen).size).toBe(20);
  expect(chosen).toEqual(TABLE.filter((each) => chosen.includes(each)));
  expect(thinOut(TABLE, 1_000)).toEqual(TABLE);
  expect(thinOut([], 5)).toEqual([]);
});

it("leaves out no value of any dimension of a table, where there is room for each", () => {
  for (const count of [12, 18, 24]) {
    const chosen = thinOut(TABLE, count);
    expect(new Set(chosen.map(({ row }) => row)).size, `rows of ${count}`).toBe(6);
    expect(new Set(chosen.map(({ column }) => column)).size, `columns of ${count}`).toBe(6);
    expect(new Set(chosen.map(({ layer }) => layer)).size, `layers of ${count}`).toBe(3);
  }
});

it("gives all of them in a long run alone", () => {
  expect(sample(TABLE, 20)).toHaveLength(inject("isLong") ? TABLE.length : 20);
});
