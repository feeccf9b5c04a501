/**
 * Begins each test file of the control half afresh, in a runtime that several files use one after
 * the other: starting one and loading the Worker takes seconds.
 */
import { reset } from "cloudflare:test";

import { forgetTests } from "./control-worker.ts";

await reset();
forgetTests();
