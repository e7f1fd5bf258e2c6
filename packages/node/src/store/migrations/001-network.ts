/**
 * The state of record of a network.
 *
 * Rules that hold over all tables: amounts are whole credits; ids of jobs and dispatches are UUIDs in the order of
 * time; bytes are bytes, never hexadecimal text; what was decided is kept (`event`), and says why.
 */
export const NETWORK = [
  // --- who -------------------------------------------------------------------------------------------------------
  `CREATE TABLE submitter (
     name text PRIMARY KEY,
     jobs_per_minute bigint NOT NULL,
     queued_segments bigint NOT NULL,
     blob_bytes bigint NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now()
   )`,
  // What counts against a quota, kept by admission and settlement (coordinator/quota.ts).
  `CREATE TABLE submitter_usage (
     submitter text PRIMARY KEY REFERENCES submitter,
     -- Segments of the jobs that have not ended.
     open_segments bigint NOT NULL DEFAULT 0,
     -- Jobs of the last minute, as a level that sinks evenly; as of level_at.
     job_level double precision NOT NULL DEFAULT 0,
     level_at timestamptz NOT NULL DEFAULT now()
   ) WITH (fillfactor = 50)`,
  `CREATE TABLE api_key (
     id text PRIMARY KEY,
     submitter text NOT NULL REFERENCES submitter,
     secret_digest bytea NOT NULL,
     scopes text[] NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now(),
     expires_at timestamptz,
     revoked_at timestamptz
   )`,
  `CREATE TABLE node (
     id bytea PRIMARY KEY CHECK (length(id) = 32),
     role text NOT NULL CHECK (role IN ('solver', 'verifier')),
     public_key jsonb NOT NULL,
     manifest jsonb NOT NULL,
     operator text NOT NULL REFERENCES submitter,
     state text NOT NULL CHECK (state IN ('online', 'offline', 'draining')),
     -- Plain data of coordinator/trust/reputation.ts.
     standing text NOT NULL DEFAULT 'probation' CHECK (standing IN ('probation', 'trusted', 'quarantined', 'banned')),
     reputation jsonb NOT NULL,
     -- No work before: a pause, or a quarantine, which ends then.
     resting_until timestamptz,
     accepted bigint NOT NULL DEFAULT 0,
     faults bigint NOT NULL DEFAULT 0,
     registered_at timestamptz NOT NULL DEFAULT now(),
     last_seen_at timestamptz NOT NULL DEFAULT now()
   )`,
  `CREATE INDEX node_by_operator ON node (operator)`,
  `CREATE INDEX node_resting ON node (resting_until) WHERE standing = 'quarantined'`,
  `CREATE INDEX node_by_sight ON node (last_seen_at) WHERE state = 'online'`,
  // Audits by kind of node, of some minutes each: what cohorts are judged by (coordinator/trust/cohort.ts).
  `CREATE TABLE conduct (
     since timestamptz NOT NULL,
     operator text NOT NULL,
     engine text NOT NULL,
     runtime text NOT NULL,
     tier integer NOT NULL,
     audits bigint NOT NULL,
     faults bigint NOT NULL,
     PRIMARY KEY (since, operator, engine, runtime, tier)
   ) WITH (fillfactor = 50)`,
  // Cohorts that failed as one: their faults are nobody's until then.
  `CREATE TABLE incident (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     cohort jsonb NOT NULL,
     reason text NOT NULL,
     opened_at timestamptz NOT NULL DEFAULT now(),
     until timestamptz NOT NULL,
     -- What its nodes had lost before was given back.
     is_pardoned boolean NOT NULL DEFAULT false
   )`,
  `CREATE INDEX incident_open ON incident (until)`,
  // Nonces of signed requests, for as long as their timestamps are good.
  `CREATE TABLE request_nonce (
     node_id bytea NOT NULL,
     nonce bytea NOT NULL,
     expires_at timestamptz NOT NULL,
     PRIMARY KEY (node_id, nonce)
   )`,
  `CREATE INDEX request_nonce_by_expiry ON request_nonce (expires_at)`,
  `CREATE TABLE idempotency (
     submitter text NOT NULL REFERENCES submitter,
     key text NOT NULL,
     operation text NOT NULL,
     request_digest bytea NOT NULL,
     response jsonb NOT NULL,
     status integer NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now(),
     PRIMARY KEY (submitter, key)
   )`,

  // --- blobs: the bytes are files, this says whose they are ---------------------------------------------------------
  `CREATE TABLE blob_owner (
     cid text NOT NULL,
     submitter text NOT NULL REFERENCES submitter,
     size_bytes bigint NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now(),
     PRIMARY KEY (cid, submitter)
   )`,
  `CREATE INDEX blob_owner_by_submitter ON blob_owner (submitter) INCLUDE (size_bytes)`,

  // --- jobs --------------------------------------------------------------------------------------------------------
  // Who holds the lock of a job's row decides over its dispatches; only leases, their renewal, and clearing away a large
  // job that has ended go without. Locks are taken in the order admission, job, dispatch, verification, node, ledger,
  // usage, each by ascending key.
  `CREATE TABLE job (
     id uuid PRIMARY KEY,
     submitter text NOT NULL REFERENCES submitter,
     state text NOT NULL CHECK (state IN ('submitted', 'running', 'accepted', 'failed', 'cancelled', 'expired')),
     spec jsonb NOT NULL,
     -- What a node must be able to run (coordinator/life/queue.ts).
     queue text NOT NULL,
     input_cid text NOT NULL,
     segments integer NOT NULL,
     -- Segments that have their first dispatch: cut in chunks where there are many.
     segmented integer NOT NULL DEFAULT 0,
     -- Segments that are accepted, counted in the transaction that accepts them.
     accepted_segments integer NOT NULL DEFAULT 0,
     audits integer NOT NULL DEFAULT 0,
     faults integer NOT NULL DEFAULT 0,
     priority smallint NOT NULL,
     -- Place of its first segment in the order of its queue (coordinator/life/turns.ts).
     first_position bigint NOT NULL,
     -- 32 random bytes: audits and samples are drawn from them, leases' nonces derived. Published in the receipt.
     seed_secret bytea NOT NULL,
     seed_commitment bytea NOT NULL,
     reason text,
     budget bigint NOT NULL,
     price_per_segment bigint NOT NULL,
     spent bigint NOT NULL DEFAULT 0,
     is_canary boolean NOT NULL DEFAULT false,
     submitted_at timestamptz NOT NULL DEFAULT now(),
     deadline_at timestamptz NOT NULL,
     ended_at timestamptz,
     -- It ended, and dispatches of it may still be queued or leased.
     to_clear boolean NOT NULL DEFAULT false,
     output_root bytea,
     receipt_state text NOT NULL DEFAULT 'none' CHECK (receipt_state IN ('none', 'pending', 'ready'))
   ) WITH (fillfactor = 80)`,
  `CREATE INDEX job_by_submitter ON job (submitter, id DESC)`,
  `CREATE INDEX job_open_by_deadline ON job (deadline_at) WHERE state IN ('submitted', 'running')`,
  `CREATE INDEX job_to_segment ON job (id) WHERE segmented < segments AND state IN ('submitted', 'running')`,
  `CREATE INDEX job_to_clear ON job (id) WHERE to_clear`,
  `CREATE INDEX job_to_seal ON job (id) WHERE receipt_state = 'pending'`,
  // Fairness: where the last segment of a submitter stands in a queue, and where the last of all does ('').
  `CREATE TABLE queue_position (
     queue text NOT NULL,
     priority smallint NOT NULL,
     submitter text NOT NULL,
     position bigint NOT NULL,
     PRIMARY KEY (queue, priority, submitter)
   ) WITH (fillfactor = 50)`,

  // One run of one segment: ordinal 0 is the first, further ones compare with it, decide, or replace what was found
  // wrong. No foreign keys: rows are made under the lock of their job, jobs are not deleted, and each row would pay
  // for the look. Ids carry the time of the job, whenever they are made, so that a re-run looks like a first run.
  `CREATE TABLE dispatch (
     id uuid PRIMARY KEY,
     job_id uuid NOT NULL,
     segment integer NOT NULL,
     ordinal smallint NOT NULL DEFAULT 0,
     state text NOT NULL CHECK (state IN
       ('queued', 'leased', 'committed', 'accepted', 'rejected', 'poisoned', 'cancelled')),
     queue text NOT NULL,
     -- The operator who may have it; '' is anybody, and null nobody until it is assigned again.
     reserved_for text DEFAULT '',
     reserved_until timestamptz,
     priority smallint NOT NULL,
     turn bigint NOT NULL,
     deadline_at timestamptz NOT NULL,
     lease_seconds smallint NOT NULL,
     -- Grows with each lease; the fencing token.
     fence integer NOT NULL DEFAULT 0,
     attempts smallint NOT NULL DEFAULT 0,
     node_id bytea,
     operator text,
     leased_at timestamptz,
     lease_expires_at timestamptz,
     -- Operators that must not get it: those of the runs that it is compared with.
     excluded_operators text[] NOT NULL DEFAULT '{}',
     -- Operators that had it and did not deliver: others are asked first.
     avoided_operators text[] NOT NULL DEFAULT '{}',
     -- The result, from commitment on. The signature is that of the batch; the index its place in there.
     commitment bytea,
     -- SHA-256 of the encoded rows.
     output_digest bytea,
     -- Of a result with a proof; that of another follows from the output.
     result_digest bytea,
     output_inline bytea,
     output_cid text,
     sampling jsonb,
     batch_id uuid,
     batch_index smallint,
     committed_at timestamptz,
     elapsed_ms real,
     -- The shares with which it was drawn for a second run, and for the verifier: null where it was not drawn at all.
     audit_rate double precision,
     sampling_rate double precision,
     -- Its result is compared with that of another run before either is accepted.
     compared boolean NOT NULL DEFAULT false,
     -- Found right by that, or by a verifier.
     audited boolean NOT NULL DEFAULT false,
     -- Of the accepted runs of a segment, the one whose output is the segment's.
     is_result boolean NOT NULL DEFAULT false,
     -- A run that the job did not ask for: the coordinator pays for it (coordinator/ledger.ts).
     forced boolean NOT NULL DEFAULT false,
     reason text,
     UNIQUE (job_id, segment, ordinal)
   ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1)`,
  // What a lease looks for, in the order in which it is given.
  `CREATE INDEX dispatch_queue ON dispatch (queue, reserved_for, priority DESC, turn, deadline_at)
   WHERE state = 'queued'`,
  `CREATE INDEX dispatch_reserved ON dispatch (reserved_until) WHERE state = 'queued' AND reserved_until IS NOT NULL`,
  // Only what is leased has a time: so this index and the next never stand in for one another.
  `CREATE INDEX dispatch_leased ON dispatch (lease_expires_at) WHERE lease_expires_at IS NOT NULL`,
  `CREATE INDEX dispatch_by_node ON dispatch (node_id) WHERE state = 'leased'`,
  // Whose an output is: small ones stand in their row, and are in no index.
  `CREATE INDEX dispatch_by_output ON dispatch (output_cid) WHERE output_cid IS NOT NULL`,
  // Leases up to \`wanted\` dispatches to a node that may hold \`most\`, from the heads of the places it may have:
  // who has priority and whose turn it is, over all of them. Rows that another lease is taking are passed over. Those of
  // jobs that have ended are cancelled instead, and come back as not leased. In steps, and with plans that only follow
  // the indexes: no statistics say how many rows are queued at the moment, and one bad guess would read all of them.
  `CREATE FUNCTION lease_dispatches(
     queues text[], reservations text[], wanted integer, most integer, to_node bytea, to_operator text, at timestamptz
   ) RETURNS TABLE (leased_id uuid, leased_job uuid, leased_segment integer, leased_fence integer, is_leased boolean)
   LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
   SET enable_mergejoin = off SET jit = off AS $$
   DECLARE
     room integer;
     place record;
     locked uuid[];
     picked uuid[] := '{}';
   BEGIN
     -- A lease that a crash forgets is an answer that will be refused: nobody waits for the disk.
     PERFORM set_config('synchronous_commit', 'off', true);
     SELECT least(wanted, most - count(*)) INTO room FROM (
       SELECT FROM dispatch WHERE node_id = to_node AND state = 'leased' LIMIT most
     ) AS held;
     FOR place IN
       SELECT head.queue, head.reserved_for, count(*)::integer AS size FROM (
         SELECT own.queue, own.reserved_for
         FROM unnest(queues, reservations) AS own (queue, reserved_for), LATERAL (
           SELECT priority, turn, deadline_at FROM dispatch
           WHERE state = 'queued' AND queue = own.queue AND reserved_for = own.reserved_for
           ORDER BY priority DESC, turn, deadline_at LIMIT greatest(room, 0)
         ) AS first
         ORDER BY first.priority DESC, first.turn, first.deadline_at LIMIT greatest(room, 0)
       ) AS head GROUP BY head.queue, head.reserved_for
     LOOP
       SELECT array_agg(id) INTO locked FROM (
         SELECT id FROM dispatch
         WHERE state = 'queued' AND queue = place.queue AND reserved_for = place.reserved_for
         ORDER BY priority DESC, turn, deadline_at LIMIT place.size FOR UPDATE SKIP LOCKED
       ) AS head;
       picked := picked || locked;
     END LOOP;
     RETURN QUERY
       UPDATE dispatch SET state = CASE WHEN chosen.lives THEN 'leased' ELSE 'cancelled' END,
         fence = dispatch.fence + 1, attempts = dispatch.attempts + 1, node_id = to_node, operator = to_operator,
         leased_at = at, reserved_until = NULL,
         lease_expires_at = CASE WHEN chosen.lives THEN at + dispatch.lease_seconds * interval '1 second' END
       FROM (
         SELECT queued.id, job.state = 'running' AND queued.deadline_at > at AS lives
         FROM dispatch AS queued JOIN job ON job.id = queued.job_id WHERE queued.id = ANY (picked)
       ) AS chosen
       WHERE dispatch.id = chosen.id
       RETURNING dispatch.id, dispatch.job_id, dispatch.segment, dispatch.fence, chosen.lives;
   END $$`,
  // Segments with runs to compare, or with a verdict: whoever commits one of them leaves a note.
  `CREATE TABLE undecided (
     job_id uuid NOT NULL,
     segment integer NOT NULL,
     since timestamptz NOT NULL,
     PRIMARY KEY (job_id, segment)
   )`,
  `CREATE INDEX undecided_by_time ON undecided (since)`,
  // A version 7 UUID of the time given, the rest random.
  `CREATE FUNCTION uuid_at(unix_ms bigint) RETURNS uuid LANGUAGE sql VOLATILE AS $$
     SELECT encode(set_byte(bytes, 6, (get_byte(bytes, 6) & 15) | 112), 'hex')::uuid
     FROM (SELECT substring(int8send(unix_ms) FROM 3) || substring(uuid_send(gen_random_uuid()) FROM 7) AS bytes) AS made
   $$`,
  // One signature over the results of one answer (core/poe-batch.ts).
  `CREATE TABLE result_batch (
     id uuid PRIMARY KEY,
     node_id bytea NOT NULL,
     signature bytea NOT NULL,
     -- All commitments in order, 32 bytes each.
     commitments bytea NOT NULL,
     received_at timestamptz NOT NULL DEFAULT now()
   )`,
  // Checks that the verifier service has to do, does or did.
  `CREATE TABLE verification (
     dispatch_id uuid PRIMARY KEY,
     job_id uuid NOT NULL,
     state text NOT NULL CHECK (state IN ('queued', 'leased', 'verified', 'rejected', 'cancelled')),
     fence integer NOT NULL DEFAULT 0,
     attempts smallint NOT NULL DEFAULT 0,
     verifier_id bytea,
     lease_expires_at timestamptz,
     samples integer,
     receipt jsonb,
     code text,
     message text,
     decided_at timestamptz
   )`,
  `CREATE INDEX verification_queue ON verification (dispatch_id) WHERE state = 'queued'`,
  `CREATE INDEX verification_leased ON verification (lease_expires_at) WHERE state = 'leased'`,
  `CREATE INDEX verification_by_job ON verification (job_id)`,

  // Known answers (coordinator/canary.ts): what canaries are drawn from, which jobs are some, and when the next is due.
  `CREATE TABLE canary_pool (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     submitter text NOT NULL REFERENCES submitter,
     spec jsonb NOT NULL,
     input bytea NOT NULL,
     -- All rows of the right output, encoded.
     answers bytea NOT NULL,
     added_at timestamptz NOT NULL DEFAULT now()
   )`,
  `CREATE TABLE canary (
     job_id uuid PRIMARY KEY REFERENCES job,
     answers bytea NOT NULL,
     judged_at timestamptz,
     -- Runs that gave the answer, and runs that did not.
     right_runs integer,
     wrong_runs integer
   )`,
  `CREATE INDEX canary_to_judge ON canary (job_id) WHERE judged_at IS NULL`,
  `CREATE TABLE canary_schedule (
     is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
     next_at timestamptz NOT NULL
   )`,

  // --- credits: double entry ----------------------------------------------------------------------------------------
  // Balances follow from the transfers; they are kept beside for speed, and compared by a check. Whatever moves
  // credits goes through ledger_post. The bound keeps every balance exact in a JavaScript number.
  `CREATE TABLE account (
     id text PRIMARY KEY,
     -- In the order in which accounts were made, for pages.
     number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
     balance bigint NOT NULL DEFAULT 0,
     may_be_negative boolean NOT NULL DEFAULT false,
     CONSTRAINT account_covered CHECK (may_be_negative OR balance >= 0),
     CONSTRAINT account_exact CHECK (balance BETWEEN -9007199254740991 AND 9007199254740991)
   ) WITH (fillfactor = 50)`,
  `CREATE TABLE transfer (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     at timestamptz NOT NULL DEFAULT now(),
     -- ledger_post makes the accounts; a foreign key would look for them again, for each transfer.
     from_account text NOT NULL,
     to_account text NOT NULL,
     amount bigint NOT NULL CHECK (amount >= 0),
     kind text NOT NULL,
     job_id uuid,
     node_id bytea,
     note text NOT NULL DEFAULT '',
     -- Names what it pays for: the same thing is never paid twice.
     once text UNIQUE,
     CHECK (from_account <> to_account)
   )`,
  `CREATE INDEX transfer_by_from ON transfer (from_account, id DESC)`,
  `CREATE INDEX transfer_by_to ON transfer (to_account, id DESC)`,
  `CREATE INDEX transfer_by_job ON transfer (job_id) WHERE job_id IS NOT NULL`,
  `INSERT INTO account (id, may_be_negative)
   VALUES ('issued', true), ('audit-fund', true), ('escrow', false), ('penalties', false)`,
  // One poster at a time, from here to the end of its transaction: nearly all posts touch the escrow, so they would
  // wait for one another anyway, and like this they cannot do so in a circle, however often a transaction posts.
  `CREATE FUNCTION ledger_balances(accounts text[]) RETURNS TABLE (name text, held bigint) LANGUAGE plpgsql AS $$
   BEGIN
     PERFORM pg_advisory_xact_lock(4702389001);
     RETURN QUERY SELECT account.id, account.balance FROM account WHERE account.id = ANY (accounts);
   END $$`,
  // Posts transfers, in their order, and gives those that were written: one whose \`once\` is known is not, one that is
  // \`up_to\` moves what its account holds before this call if that is less, and is written even when that is nothing
  // (if it has a \`once\`), so that its second coming moves nothing either. Where an account would end below zero, or
  // beyond what is exact, nothing is written: one row without a target names it, what it holds and what it lacks.
  `CREATE FUNCTION ledger_post(
     from_accounts text[], to_accounts text[], amounts bigint[], up_tos boolean[],
     kinds text[], job_ids uuid[], node_ids bytea[], notes text[], onces text[]
   ) RETURNS TABLE (source text, target text, size bigint, name text, once text) LANGUAGE plpgsql AS $$
   #variable_conflict use_column
   DECLARE
     moved transfer[];
     changed text[];
     changes bigint[];
   BEGIN
     PERFORM pg_advisory_xact_lock(4702389001);
     SELECT array_agg(ROW (0, now(), sized.source, sized.target, sized.size, kind, job_id, node_id, note, sized.once)::transfer
       ORDER BY place) INTO moved
     FROM (
       SELECT given.*, CASE WHEN up_to THEN greatest(0, least(given.amount, coalesce(account.balance, 0) - coalesce(
         sum(given.amount) FILTER (WHERE up_to) OVER (
           PARTITION BY given.source ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
         ), 0)))::bigint ELSE given.amount END AS size
       FROM unnest(
         from_accounts, to_accounts, amounts, up_tos, kinds, job_ids, node_ids, notes, onces
       ) WITH ORDINALITY AS given (source, target, amount, up_to, kind, job_id, node_id, note, once, place)
       LEFT JOIN account ON account.id = given.source
       WHERE NOT EXISTS (SELECT FROM transfer WHERE transfer.once = given.once)
     ) AS sized WHERE sized.size > 0 OR (up_to AND sized.once IS NOT NULL);
     SELECT array_agg(side.id), array_agg(side.change) INTO changed, changes FROM (
       SELECT id, sum(change)::bigint AS change FROM (
         SELECT from_account AS id, -amount::numeric AS change FROM unnest(moved)
         UNION ALL SELECT to_account, amount FROM unnest(moved)
       ) AS sides GROUP BY id
     ) AS side;
     RETURN QUERY SELECT side.id, NULL::text, coalesce(balance, 0), 'holds', (coalesce(balance, 0) + change)::text
       FROM unnest(changed, changes) AS side (id, change) LEFT JOIN account ON account.id = side.id
       WHERE abs(coalesce(balance, 0) + change) > 9007199254740991
         OR (coalesce(balance, 0) + change < 0 AND NOT coalesce(may_be_negative, false))
       ORDER BY side.id LIMIT 1;
     IF FOUND THEN
       RETURN;
     END IF;
     INSERT INTO account (id)
       SELECT id FROM unnest(changed) AS id WHERE NOT EXISTS (SELECT FROM account WHERE account.id = id.id);
     INSERT INTO transfer (from_account, to_account, amount, kind, job_id, node_id, note, once)
       SELECT from_account, to_account, amount, kind, job_id, node_id, note, once FROM unnest(moved);
     UPDATE account SET balance = balance + change
       FROM unnest(changed, changes) AS side (id, change) WHERE account.id = side.id;
     RETURN QUERY SELECT from_account, to_account, amount, kind, moved_now.once FROM unnest(moved) AS moved_now;
   END $$`,

  // --- what happened, and why -----------------------------------------------------------------------------------------
  `CREATE TABLE event (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     at timestamptz NOT NULL DEFAULT now(),
     type text NOT NULL,
     job_id uuid,
     node_id bytea,
     segment integer,
     data jsonb NOT NULL DEFAULT '{}'
   )`,
  `CREATE INDEX event_by_job ON event (job_id, id) WHERE job_id IS NOT NULL`,
  `CREATE INDEX event_by_node ON event (node_id, id DESC) WHERE node_id IS NOT NULL`,

  // How far the ids of events were drawn; a transaction later than all that had drawn one by then; and the oldest one
  // that runs (coordinator/events.ts). In this order, and each statement with a snapshot of its own. A snapshot alone
  // does not tell how far transactions were numbered, only how far they have ended.
  `CREATE FUNCTION event_horizon(OUT last bigint, OUT next text, OUT oldest text) LANGUAGE plpgsql AS $$
   BEGIN
     SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO last FROM event_id_seq;
     SELECT pg_current_xact_id() INTO next;
     SELECT pg_snapshot_xmin(pg_current_snapshot()) INTO oldest;
   END $$`,

  // --- receipts and their log -------------------------------------------------------------------------------------------
  `CREATE TABLE receipt (
     job_id uuid PRIMARY KEY REFERENCES job,
     envelope jsonb NOT NULL,
     log_index bigint NOT NULL UNIQUE,
     issued_at timestamptz NOT NULL DEFAULT now()
   )`,
  `CREATE TABLE log_leaf (
     index bigint PRIMARY KEY,
     entry bytea NOT NULL
   )`,
  // Roots of complete subtrees: (level, index) as receipt/log/tree.ts counts them.
  `CREATE TABLE log_node (
     level smallint NOT NULL,
     index bigint NOT NULL,
     hash bytea NOT NULL,
     PRIMARY KEY (level, index)
   )`,
  `CREATE TABLE log_checkpoint (
     size bigint PRIMARY KEY,
     root bytea NOT NULL,
     signed text NOT NULL,
     at timestamptz NOT NULL DEFAULT now()
   )`,
  // Ed25519 key of the coordinators of this network, one for its replicas; without the secret where that is kept elsewhere.
  `CREATE TABLE coordinator_key (
     is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
     public_key bytea NOT NULL,
     secret bytea
   )`,
] as const
