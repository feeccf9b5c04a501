/** Checks the body of a check run as GitHub's JSON schema does: `null` for a body that fits. */

const ANNOTATIONS_MAX = 50;
const TEXT_CHARACTERS_MAX = 65_535;
const TITLE_CHARACTERS_MAX = 255;
const MESSAGE_BYTES_MAX = 64 * 1024;
const ACTIONS_MAX = 3;
const ACTION_LIMITS = { label: 20, description: 40, identifier: 20 } as const;
const STATUSES: readonly unknown[] = ["queued", "in_progress", "completed"];
const LEVELS: ReadonlySet<unknown> = new Set(["notice", "warning", "failure"]);
const CONCLUSIONS: readonly unknown[] = [
  "success",
  "failure",
  "neutral",
  "cancelled",
  "skipped",
  "timed_out",
  "action_required",
];

type Body = Readonly<Record<string, unknown>>;

export function checkRunProblem(body: Body, isNew: boolean): string | null {
  for (const name of isNew ? ["name", "head_sha"] : [])
    if (typeof body[name] !== "string") return missing(name);
  const { status, conclusion, output, actions } = body;
  if (status !== undefined && !STATUSES.includes(status))
    return `${show(status)} is not a member of ${show(STATUSES)}.`;
  if (conclusion !== undefined && !CONCLUSIONS.includes(conclusion))
    return `${show(conclusion)} is not a member of ${show(CONCLUSIONS)}.`;
  if (status === "completed" && conclusion === undefined) return missing("conclusion");
  if (body["external_id"] !== undefined && typeof body["external_id"] !== "string")
    return `For 'properties/external_id', ${show(body["external_id"])} is not a string.`;
  for (const name of ["started_at", "completed_at"]) {
    if (body[name] !== undefined && !Number.isFinite(Date.parse(show(body[name]).slice(1, -1))))
      return `${show(body[name])} is not a date-time.`;
  }
  return outputProblem(output, isNew) ?? actionsProblem(actions);
}

function outputProblem(output: unknown, isNew: boolean): string | null {
  if (output === undefined) return null;
  if (typeof output !== "object" || output === null)
    return `For 'properties/output', ${show(output)} is not an object.`;
  const { title, summary, text, annotations } = output as Body;
  if (isNew && typeof title !== "string") return missing("title");
  if (typeof summary !== "string") return missing("summary");
  if (typeof title === "string" && title.length > TITLE_CHARACTERS_MAX)
    return tooLong(TITLE_CHARACTERS_MAX, title);
  if (summary.length > TEXT_CHARACTERS_MAX) return tooLong(TEXT_CHARACTERS_MAX, summary);
  if (typeof text === "string" && text.length > TEXT_CHARACTERS_MAX)
    return tooLong(TEXT_CHARACTERS_MAX, text);
  if (annotations === undefined) return null;
  if (!Array.isArray(annotations))
    return `For 'properties/annotations', ${show(annotations)} is not an array.`;
  if (annotations.length > ANNOTATIONS_MAX)
    return `No more than ${ANNOTATIONS_MAX} items are allowed; ${annotations.length} were supplied.`;
  for (const one of annotations as readonly Body[]) {
    const problem = annotationProblem(one);
    if (problem !== null) return problem;
  }
  return null;
}

function annotationProblem(one: Body): string | null {
  const { path, message, title, start_line: start, end_line: end } = one;
  if (typeof path !== "string" || path === "") return missing("path");
  if (!Number.isInteger(start) || Number(start) < 1) return missing("start_line");
  if (!Number.isInteger(end) || Number(end) < Number(start)) return missing("end_line");
  if (!LEVELS.has(one["annotation_level"])) return missing("annotation_level");
  if (typeof message !== "string" || message === "") return missing("message");
  if (Buffer.byteLength(message) > MESSAGE_BYTES_MAX)
    return `Annotation message exceeds ${MESSAGE_BYTES_MAX} bytes.`;
  if (typeof title === "string" && title.length > TITLE_CHARACTERS_MAX)
    return tooLong(TITLE_CHARACTERS_MAX, title);
  return columnsProblem(one);
}

function columnsProblem({
  start_line: start,
  end_line: end,
  start_column: from,
  end_column: to,
}: Body): string | null {
  if (from === undefined && to === undefined) return null;
  if (start !== end)
    return "Annotations can only have columns if start_line and end_line have the same value.";
  for (const value of [from, to]) {
    if (value !== undefined && (!Number.isInteger(value) || Number(value) < 1))
      return `${show(value)} is not a column.`;
  }
  return typeof from === "number" && typeof to === "number" && to < from
    ? "end_column comes before start_column."
    : null;
}

function actionsProblem(actions: unknown): string | null {
  if (actions === undefined) return null;
  if (!Array.isArray(actions)) return `For 'properties/actions', ${show(actions)} is not an array.`;
  if (actions.length > ACTIONS_MAX)
    return `No more than ${ACTIONS_MAX} items are allowed; ${actions.length} were supplied.`;
  for (const one of actions as readonly Body[]) {
    for (const [name, max] of Object.entries(ACTION_LIMITS)) {
      const value = one[name];
      if (typeof value !== "string") return missing(name);
      if (value.length > max) return tooLong(max, value);
    }
  }
  return null;
}

function missing(name: string): string {
  return `"${name}" wasn't supplied.`;
}

function tooLong(max: number, text: string): string {
  return `Only ${max} characters are allowed; ${text.length} were supplied.`;
}

function show(value: unknown): string {
  return JSON.stringify(value);
}
