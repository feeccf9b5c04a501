/** Reads the message that a remote call fails with, in tests that run on the real runtime. */

/**
 * The message that a remote call fails with. The runtime's own promise must be awaited itself, or
 * its rejection counts as unhandled.
 */
export async function refusal(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return "nothing was refused";
}
