"""One process follows the User service, and feeds those that serve requests.

With `AUTHZ_WORKERS` above 1 a sidecar is these processes, all forked from the first:

    supervisor   owns the listening sockets, starts and replaces the others; it reads nothing from the network
      ├─ follower   the only subscription, confirmation and writer of the store; fetches keys; the admin port
      ├─ worker 1   accepts requests, and decides from a near cache of its own
      └─ worker 2   …

**The line.** A worker makes a pair of connected sockets and has one end passed to the follower through a
socket that all of them have inherited. It has no name, so nobody else can be at an end of it, and it outlives
the follower: what is passed while there is none waits for the next one. Both sides send lines of JSON.

**Where a worker stands.** The follower brings each worker to where it stands itself, by the rule by which it
brings the store there: it sends the changes that its history has after the worker's position; where the
history does not reach, the worker is told to forget everything and to stand there. So nothing is queued for
anybody. Who reads too slowly has its line cut, and says where it stands on the next one.

    worker     hello (position) ─▶            question (entities, revision, keys) ─▶
    follower       ◀─ stand, change, change, proof …                    ◀─ answer

What is sent is read in that order. An answer about entities is thus of the very position at which it is read,
and when a revision is said to be here it is.

**Proofs** are instants on the monotonic clock, which the processes of one machine share. A worker measures
their age by that instant, never by when they came; so a follower that has died or hangs makes nothing look
fresher, and decisions go on until the proof is too old. What a worker lacks meanwhile it asks the next one.

**Once for all.** Whoever waits for a revision, for a user's grants or for a key waits in the follower's own
waiting room, together with those of the other workers, within bounds that hold for all of them.
"""
