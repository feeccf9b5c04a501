/**
 * An HTTP server on a free port of 127.0.0.1 whose answers a test scripts; it records what was
 * asked.
 */
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

/** The answer to one request: a status with a body (JSON unless it is text), or something ruder. */
export type Answer =
  | {
      readonly status: number;
      readonly json?: unknown;
      readonly text?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | { readonly kind: "reset" }
  | { readonly kind: "silence" };

export type Script = (request: RecordedRequest, count: number) => Answer;

export interface ScriptedServer {
  readonly endpoint: string;
  readonly port: number;
  readonly requests: RecordedRequest[];
  close(): Promise<void>;
}

/** @param port 0 takes a free one. */
export async function startScriptedServer(script: Script, port = 0): Promise<ScriptedServer> {
  const requests: RecordedRequest[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    void handle(request, response);
  });
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const recorded = await readRequest(request);
    requests.push(recorded);
    reply(script(recorded, requests.length), request, response);
  };
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  return {
    endpoint: `http://127.0.0.1:${bound}`,
    port: bound,
    requests,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** A problem document as the Worker makes it. */
export function problem(kind: string, status: number, detail: string, errors?: unknown): Answer {
  const json = {
    type: `https://shardctl.dev/problems/${kind}`,
    title: kind,
    status,
    detail,
    kind,
    ...(errors === undefined ? {} : { errors }),
  };
  return { status, json, headers: { "content-type": "application/problem+json" } };
}

async function readRequest(request: IncomingMessage): Promise<RecordedRequest> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += String(chunk);
  return {
    method: request.method ?? "",
    path: request.url ?? "",
    authorization: request.headers.authorization,
    body: text === "" ? undefined : (JSON.parse(text) as unknown),
  };
}

function reply(answer: Answer, request: IncomingMessage, response: ServerResponse): void {
  if ("kind" in answer) {
    if (answer.kind === "reset") request.socket.resetAndDestroy();
    return;
  }
  const type = answer.text === undefined ? "application/json" : "text/html";
  response.writeHead(answer.status, { "content-type": type, ...answer.headers });
  response.end(answer.text ?? JSON.stringify(answer.json));
}
