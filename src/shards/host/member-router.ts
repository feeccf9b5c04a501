/**
 * Makes the router by which an object calls its own namespace. It names the epoch that the object
 * knows: a root that is behind it, as after a restore, finds out before it answers.
 */
import { Router } from "../router.ts";
import type { Peers } from "../protocol/peers.ts";
import type { Host } from "./host.ts";

export function createMemberRouter(host: Host, peers: Peers): Router {
  const { namespace, partitioners, platform, member } = host;
  return new Router(peers, namespace, platform.runtime, {
    partitioners,
    member: { name: member.self, epoch: () => member.membership.epoch },
  });
}
