/**
 * Reads manifests in an object of its own: it has the coordinator's class and binding, holds no
 * state, and may die of what it is given without taking a run along.
 */
import {
  NoAnswer,
  type ReadSet,
  type SetReader,
  type SetRequest,
} from "../../manifest/read-set.ts";

/** The name of the object that reads. */
export const READER_NAME = "manifests";

/** The call of that object. The answer is JSON in a stream, since it may be larger than a call. */
export interface ManifestCarrier {
  readManifests(request: SetRequest): Promise<ReadableStream<Uint8Array>>;
}

export function createRemoteReader(binding: () => DurableObjectNamespace): SetReader {
  return async (request) => {
    try {
      const carrier = binding().getByName(READER_NAME) as unknown as ManifestCarrier;
      return await new Response(await carrier.readManifests(request)).json<ReadSet>();
    } catch (error) {
      throw new NoAnswer("The object that reads manifests did not answer", { cause: error });
    }
  };
}
