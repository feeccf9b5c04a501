/**
 * Begins each test file of the library afresh, in a runtime that several files use one after the
 * other: starting one and loading the Worker takes seconds.
 */
import { reset } from "cloudflare:test";

import { forgetIntercepts } from "../shards/support/intercept.ts";

await reset();
forgetIntercepts();
