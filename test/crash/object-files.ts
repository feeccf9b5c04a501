/**
 * The SQLite files of single objects in the local runtime's folder, by the objects' ids. Plays what
 * a restore does to one object, which the local runtime itself cannot: files are copied aside at
 * one moment and put back at another.
 *
 * | file                | holds                                              | is copied                           |
 * |---------------------|----------------------------------------------------|-------------------------------------|
 * | `<id>.sqlite`       | the database, without what is still in the log     | yes                                 |
 * | `<id>.sqlite-wal`   | the newest transactions                            | yes, and deleted where there was none |
 * | `<id>.sqlite-shm`   | an index of the log, made anew from it             | no, and always deleted              |
 * | `metadata.sqlite` | when to wake which object, of the whole class           | no                                    |
 *
 * An object's alarm is in its own database and goes back with it; an object that is woken for one
 * which it does not have runs nothing. Nothing may run meanwhile: a copy taken of two files at two
 * moments is no database.
 */
import { copyFile, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

/** An object's files as they were at one moment. */
export interface Snapshot {
  readonly id: string;
  /** Where the copies are. */
  readonly folder: string;
  /** Names of the files that there were; none for an object that had stored nothing. */
  readonly files: readonly string[];
}

const DATABASE = ".sqlite";
const LOG = ".sqlite-wal";
const LOG_INDEX = ".sqlite-shm";

export class ObjectFiles {
  readonly #folder: string;

  /** `persistTo` as wrangler is given it; the class by its name in that Worker. */
  constructor(persistTo: string, workerName: string, className: string) {
    this.#folder = join(persistTo, "v3", "do", `${workerName}-${className}`);
  }

  /**
   * Copies an object's files into a folder, which is made; what is in it already under their names
   * is replaced.
   */
  async snapshot(id: string, folder: string): Promise<Snapshot> {
    await mkdir(folder, { recursive: true });
    const there = await this.#filesOf(id);
    const files = there.filter((name) => !name.endsWith(LOG_INDEX));
    for (const name of files) await copyFile(join(this.#folder, name), join(folder, name));
    return { id, folder, files };
  }

  /** Puts an object back to a snapshot: of what it stored since, nothing is left. */
  async restore({ id, folder, files }: Snapshot): Promise<void> {
    await this.remove(id);
    for (const name of files) await copyFile(join(folder, name), join(this.#folder, name));
  }

  /** Deletes all that an object has stored, its alarm too. */
  async remove(id: string): Promise<void> {
    for (const name of await this.#filesOf(id)) await rm(join(this.#folder, name));
  }

  async #filesOf(id: string): Promise<string[]> {
    const names = [DATABASE, LOG, LOG_INDEX].map((ending) => `${id}${ending}`);
    const there = await readdir(this.#folder);
    return names.filter((name) => there.includes(name));
  }
}
