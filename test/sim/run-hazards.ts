/**
 * Does to the objects what the scenario has planned: deploys versions of the class, and limits
 * databases.
 */
import type { DeployStep, FullDiskStep } from "./hazards.ts";
import { isIn } from "./operator.ts";
import type { World } from "./world.ts";

/** How long a hazard waits for an operation in its step. */
const STEP_WAIT_MS_MAX = 4_000;
const POLL_MS = 4;
/** By then the last deploy has ended every older life. */
const NEWEST_MS = 500;

/** One deploy after the other. */
export async function runDeploys(world: World, steps: readonly DeployStep[]): Promise<void> {
  for (const { index, afterMs, step, needsStep, version, share, restarts, restartMsMax } of steps) {
    await sleep(world, afterMs);
    const isThen = await awaitStep(world, step);
    if (needsStep && !isThen) continue;
    deploy(world, `deploy/${index}`, version, { share, restarts, restartMsMax });
  }
}

/** Deploys the newest version to every object, and starts each: after this nothing older runs. */
export function deployNewest(world: World): void {
  deploy(world, "deploy/newest", world.deployment.last, {
    share: 1,
    restarts: 1,
    restartMsMax: NEWEST_MS - 1,
  });
  for (const object of world.objects.values())
    world.options.scheduler.at(NEWEST_MS, () => object.start());
}

function deploy(
  world: World,
  label: string,
  version: number,
  {
    share,
    restarts,
    restartMsMax,
  }: { readonly share: number; readonly restarts: number; readonly restartMsMax: number },
): void {
  const { random, scheduler } = world.options;
  world.trace(() => `version ${version} is DEPLOYED (to ${share * 100} %)`);
  world.strike("deploy");
  world.deployment.deploy(version, share);
  for (const object of world.objects.values()) {
    if (
      world.deployment.versionOf(object.name) === object.version ||
      !random.chance(`${label}/restarts`, restarts)
    )
      continue;
    scheduler.at(random.whole(`${label}/restartMs`, 0, restartMsMax), () => {
      if (world.deployment.versionOf(object.name) !== object.version)
        object.crash(`restarted for version ${version}`);
    });
  }
}

/** Full disks are independent of each other. */
export function runFullDisks(
  world: World,
  steps: readonly FullDiskStep[],
): readonly Promise<void>[] {
  return steps.map((step) => fillUp(world, step));
}

async function fillUp(
  world: World,
  { index, afterMs, step, which, pages, liftedAfterMs }: FullDiskStep,
): Promise<void> {
  const { random, namespace } = world.options;
  await sleep(world, afterMs);
  await awaitStep(world, step);
  if (which === "next") {
    world.nextLimits.push({ pages, liftedAfterMs });
    return;
  }
  const members = [...world.objects.values()].filter(({ name }) => name !== namespace);
  const isRoot = which === "root" || members.length === 0;
  const object = isRoot ? world.object(namespace) : random.pick(`full/${index}/object`, members);
  object.fillUp(pages, liftedAfterMs);
}

export async function awaitStep(world: World, step: DeployStep["step"]): Promise<boolean> {
  if (step === null) return true;
  return world.options.scheduler.until(() => isIn(world, step), POLL_MS, STEP_WAIT_MS_MAX);
}

function sleep(world: World, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    world.options.scheduler.at(delayMs, resolve);
  });
}
