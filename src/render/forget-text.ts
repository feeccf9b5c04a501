/** Shows the Worker's memory of a namespace that is no more, for the command line. */
import { formatQuantity } from "../model/figures.ts";
import type { ForgetPlan } from "../model/forget.ts";
import { printable } from "./printable.ts";

export function renderForgetPlan(plan: ForgetPlan): string {
  const { name, object, environments, keptIn, epoch, members, obstacles } = plan;
  const known = [
    ...(environments.length > 0 ? [`it is listed in ${environments.join(", ")}`] : []),
    ...(keptIn.length > 0 ? [`${keptIn.join(", ")} would keep it, and what was seen of it`] : []),
    ...(epoch === null || keptIn.length > 0
      ? []
      : [
          `it was seen at epoch ${epoch} on ${formatQuantity(members, "member")}: a root that is below it would be noticed as one that lost its registry`,
        ]),
  ];
  return [
    `${printable(name)} in ${printable(object)}`,
    ...known.map((line) => `  ${printable(line)}`),
    ...(obstacles.length === 0
      ? [
          "",
          "All of this would be forgotten. Plans, runs and the history stay, and no object is touched.",
        ]
      : []),
  ].join("\n");
}
