"""A submitter in Python: the client that a generator made of the OpenAPI document, the formats written from the guide.

    python openapi_submit.py DOCUMENT MODULES OUT      with ASSAY_URL, ASSAY_TOKEN (an administrator's), SEED

Every answer that comes is judged by the document. OUT gets what `assay verify` needs. Exit code 0: all is as it should
be; 1: something is not, and is named.
"""
import base64
import hashlib
import json
import os
import random
import struct
import sys
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path

from assay_client import AuthenticatedClient, Client
from assay_client.api.blobs import append_blob, begin_blob, read_blob
from assay_client.api.jobs import (
    cancel_job,
    job_events,
    job_receipt,
    job_result,
    list_jobs,
    list_segments,
    show_job,
    submit_job,
)
from assay_client.api.keys import list_keys, make_key, revoke_key
from assay_client.api.ledger import accounts, balance, deposit, transfers
from assay_client.api.log import checkpoint, log_consistency, log_entries, log_inclusion
from assay_client.api.network import network as show_network
from assay_client.api.nodes import add_canary, drain_node, heartbeat, lease, list_nodes, show_node
from assay_client.models import (
    AddCanaryBody,
    BeginBlobBody,
    CancelJobBody,
    Deposit,
    DrainNodeBody,
    Heartbeat,
    JobSpecInput,
    LeaseRequest,
    ListJobsState,
    NewKey,
    NewKeyScopesItem,
    Problem,
    RedundancyPolicyInput,
    SamplingPolicyInput,
    ValidationPolicyInput,
    ValueRefInputType0,
    ValueRefInputType1,
    WasmWorkInput,
)
from assay_client.types import File
from openapi_document import Document
from openapi_formats import content_address, decode_rows, decode_wasm_row, encode_rows, events_of
from openapi_work import added_up, orders, squared

PART_BYTES = 200_000
DEADLINE_S = 120
POLL_S = 0.1
CREDITS = 10_000
ENDS = ("accepted", "failed", "expired", "cancelled")
UNKNOWN = "01928c4e-7b1a-7c3d-9e2f-3a4b5c6d7e8f"

document = Document(sys.argv[1])
modules, out = Path(sys.argv[2]), Path(sys.argv[3])
url, token = os.environ["ASSAY_URL"], os.environ["ASSAY_TOKEN"]
generator = random.Random(int(os.environ["SEED"]))
checked: Counter[str] = Counter()


def expect(what: str, holds: bool, seen: object = "") -> None:
    checked[what.split(":")[0]] += 1
    if not holds:
        raise SystemExit(f"FAIL {what}: {str(seen)[:2000]}")


def holder(secret: str | None) -> AuthenticatedClient | Client:
    options = {"httpx_args": {"event_hooks": {"response": [document.judge]}}, "timeout": 30.0}
    return Client(url, **options) if secret is None else AuthenticatedClient(url, token=secret, **options)


def ok(response):
    """The answer, which must be no problem."""
    if not 200 <= response.status_code < 300:
        raise SystemExit(f"FAIL expected an answer, got {response.status_code}: {response.content.decode()[:500]}")
    return response.parsed


def refused(what: str, response, status: int, code: str) -> Problem:
    problem = response.parsed
    expect(f"refusals: {what}", isinstance(problem, Problem), response)
    expect(f"refusals: {what}", (response.status_code, problem.status, problem.code) == (status, status, code), problem)
    expect(f"refusals: {what}", problem.type_ == f"urn:assay:error:{code}" and problem.remedy != "", problem)
    return problem


def account(name: str, scopes: list[str], credits: int = 0, **more):
    wanted = NewKey(name, [NewKeyScopesItem(scope) for scope in scopes], **more)
    made = ok(make_key.sync_detailed(client=admin, body=wanted))
    if credits > 0:
        ok(deposit.sync_detailed(client=admin, body=Deposit(f"submitter:{name}", credits, "to try it out")))
    return holder(made.token), made.key


def upload(content: bytes) -> str:
    """In parts, and broken off after the first: what is stored is asked for, and the rest appended."""
    address = content_address(content)
    begin = BeginBlobBody(address, len(content))
    status = ok(begin_blob.sync_detailed(client=submitter, body=begin))
    expect("uploads: begins with nothing", status.stored_bytes == 0 and not status.complete, status)
    while not status.complete:
        at = status.stored_bytes
        part = File(BytesIO(content[at : at + PART_BYTES]))
        ok(append_blob.sync_detailed(address, client=submitter, body=part, offset=at))
        status = ok(begin_blob.sync_detailed(client=submitter, body=begin))
        expect("uploads: goes on where it was", status.stored_bytes == min(at + PART_BYTES, len(content)), status)
    return address


def work_of(module: str) -> WasmWorkInput:
    return WasmWorkInput("wasm", module, memory_pages=32, time_limit_ms=10_000, max_output_bytes=65_536)


def ended(job_id: str):
    deadline = time.monotonic() + DEADLINE_S
    while True:
        job = ok(show_job.sync_detailed(job_id, client=submitter))
        if job.state in ENDS and job.receipt != "pending":
            return job
        if time.monotonic() > deadline:
            raise SystemExit(f"FAIL the job did not end within {DEADLINE_S} s: {job}")
        time.sleep(POLL_S)


def check_rows(result: bytes, records: list[bytes], function) -> None:
    rows = decode_rows(result)
    expect("rows: one for each record", len(rows) == len(records), len(rows))
    for index, (row, record) in enumerate(zip(rows, records)):
        expect(f"rows: row {index} is what Python computes", decode_wasm_row(row) == function(record), row)


def check_segments(job_id: str, result: bytes, segment_rows: int) -> None:
    rows, seen, cursor = decode_rows(result), 0, None
    while True:
        query = {} if cursor is None else {"cursor": cursor}
        page = ok(list_segments.sync_detailed(job_id, client=submitter, limit=4, **query))
        for segment in page.items:
            own = encode_rows(rows[seen * segment_rows : (seen + 1) * segment_rows])
            expect("segments: in order, accepted", (segment.index, segment.state) == (seen, "accepted"), segment)
            expect("segments: digest", segment.output_digest == hashlib.sha256(own).hexdigest(), segment)
            seen += 1
        cursor = page.next_cursor
        if cursor is None:
            break
    expect("segments: all of them", seen == -(-len(rows) // segment_rows), seen)


def check_events(job_id: str) -> None:
    """The stream of a job that ended has an end; it can be read from any event on."""
    frames = events_of(ok(job_events.sync_detailed(job_id, client=submitter)))
    expect("events: the last one is the end", frames[-1] == (None, "end", "{}"), frames[-1:])
    for identity, name, data in frames[:-1]:
        event = json.loads(data)
        document.check_named(event, "EventView")
        expect("events: id and name", (str(event["id"]), event["type"], event["jobId"]) == (identity, name, job_id), event)
    later = events_of(ok(job_events.sync_detailed(job_id, client=submitter, last_event_id=frames[1][0])))
    expect("events: resumed", later == frames[2:], later[:1])


def large_job():
    """Uploaded, cut into segments, checked in both ways."""
    records = orders(60, generator)
    content = encode_rows(records)
    module = upload((modules / "orders.wasm").read_bytes())
    address = upload(content)
    part = ok(read_blob.sync_detailed(address, client=submitter, range_="bytes=4-99"))
    expect("blobs: a range", part.payload.read() == content[4:100])
    whole = ok(read_blob.sync_detailed(address, client=submitter))
    expect("blobs: the whole", whole.payload.read() == content)
    refused("a range outside", read_blob.sync_detailed(address, client=submitter, range_="bytes=99999999-"), 416, "blob/range")
    spec = JobSpecInput(
        work_of(module),
        ValueRefInputType1(address),
        rows=len(records),
        segment_rows=5,
        price_per_segment=3,
        budget=12 * 3 * 3,
        name="orders, from Python",
        validation=ValidationPolicyInput(
            SamplingPolicyInput(share=1.0, confidence=0.9, faked_share=0.5), RedundancyPolicyInput(share=0.5)
        ),
    )
    key = f"python-{generator.getrandbits(64):x}"
    answer = submit_job.sync_detailed(client=submitter, body=spec, idempotency_key=key)
    job = ok(answer)
    again = ok(submit_job.sync_detailed(client=submitter, body=spec, idempotency_key=key))
    expect("idempotency: the same job", again.id == job.id, (again.id, job.id))
    spec.priority = 9
    other = submit_job.sync_detailed(client=submitter, body=spec, idempotency_key=key)
    refused("the same key, another job", other, 409, "wire/conflict")
    early = job_receipt.sync_detailed(job.id, client=submitter)
    if early.status_code != 200:
        refused("a receipt before its time", early, 409, "wire/conflict")
    job = ended(job.id)
    expect("jobs: accepted", job.state == "accepted", job)
    result = job_result.sync_detailed(job.id, client=submitter)
    check_rows(ok(result).payload.read(), records, added_up)
    check_segments(job.id, result.content, 5)
    check_events(job.id)
    receipt = job_receipt.sync_detailed(job.id, client=submitter)
    expect("receipts: read", isinstance(ok(receipt), dict))
    kept = {"job.json": answer, "rows.bin": result, "receipt.json": receipt}
    for name, data in {**{name: it.content for name, it in kept.items()}, "input.bin": content}.items():
        (out / name).write_bytes(data)
    return job


def small_jobs(count: int):
    """Whole inside of their messages, but for the module."""
    module = upload((modules / "square.wasm").read_bytes())
    made = []
    for _ in range(count):
        records = [struct.pack("<Q", generator.getrandbits(64)) for _ in range(1 + generator.randrange(9))]
        inline = base64.b64encode(encode_rows(records)).decode()
        spec = JobSpecInput(work_of(module), ValueRefInputType0(inline), len(records), len(records), 1, 1)
        made.append((ok(submit_job.sync_detailed(client=submitter, body=spec)).id, records))
    for job_id, records in made:
        expect("jobs: accepted", ended(job_id).state == "accepted", job_id)
        check_rows(ok(job_result.sync_detailed(job_id, client=submitter)).payload.read(), records, squared)
    return [job_id for job_id, _ in made]


def check_pages(ids: list[str]) -> None:
    """Newest first; each page of two, until there is no more."""
    found, cursor, pages = [], None, 0
    while True:
        query = {} if cursor is None else {"cursor": cursor}
        page = ok(list_jobs.sync_detailed(client=submitter, limit=2, **query))
        found += [job.id for job in page.items]
        pages, cursor = pages + 1, page.next_cursor
        if cursor is None:
            break
        expect("pages: full ones", len(page.items) == 2, page)
    expect("pages: all jobs, once, newest first", found == ids[::-1], (found, ids))
    expect("pages: more than one", pages >= len(ids) // 2, pages)
    accepted = ok(list_jobs.sync_detailed(client=submitter, state=ListJobsState.ACCEPTED)).items
    expect("pages: by state", {job.id for job in accepted} == set(ids), accepted)


def check_refusals(job) -> None:
    nobody, stranger = holder(None), account("stranger", ["jobs:read", "jobs:write"])[0]
    reader = account("python", ["jobs:read"])[0]
    refused("an unknown job", show_job.sync_detailed(UNKNOWN, client=submitter), 404, "wire/not-found")
    refused("another's job", show_job.sync_detailed(job.id, client=stranger), 404, "wire/not-found")
    refused("another's result", job_result.sync_detailed(job.id, client=stranger), 404, "wire/not-found")
    refused("no key", list_jobs.sync_detailed(client=nobody), 401, "wire/unauthenticated")
    refused("a scope too few", cancel_job.sync_detailed(job.id, client=reader, body=CancelJobBody()), 403, "wire/forbidden")
    refused("an end already", cancel_job.sync_detailed(job.id, client=submitter, body=CancelJobBody()), 409, "wire/conflict")
    refused("no id at all", show_job.sync_detailed("none", client=submitter), 400, "wire/malformed")
    refused("a page of none", list_jobs.sync_detailed(client=submitter, limit=0), 400, "wire/malformed")
    given = dict(rows=1, segment_rows=1, price_per_segment=1, budget=1)
    inline = ValueRefInputType0(base64.b64encode(encode_rows([bytes(8)])).decode())
    nowhere = content_address(b"never uploaded")
    draft = JobSpecInput(work_of(nowhere), inline, **given)
    refused("a module that is not there", submit_job.sync_detailed(client=submitter, body=draft), 409, "job/content")
    square = content_address((modules / "square.wasm").read_bytes())
    draft = JobSpecInput(work_of(square), inline, **{**given, "budget": 0})
    refused("a budget too small", submit_job.sync_detailed(client=submitter, body=draft), 422, "job/budget")
    draft = JobSpecInput(work_of(square), inline, **{**given, "budget": 10**6})
    refused("a budget without cover", submit_job.sync_detailed(client=submitter, body=draft), 402, "ledger/insufficient")
    draft = JobSpecInput(work_of(square), inline, **{**given, "rows": 0})
    problem = refused("no rows", submit_job.sync_detailed(client=submitter, body=draft), 400, "wire/malformed")
    expect("refusals: the field is named", "rows" in problem.detail, problem)
    content = b"what was announced"
    ok(begin_blob.sync_detailed(client=submitter, body=BeginBlobBody(content_address(content), len(content))))
    append = lambda part, at: append_blob.sync_detailed(  # noqa: E731
        content_address(content), client=submitter, body=File(BytesIO(part)), offset=at
    )
    refused("a part that leaves a gap", append(content[5:], 5), 409, "blob/offset")
    refused("another content", append(content[::-1], 0), 422, "blob/mismatch")
    unsigned = heartbeat.sync_detailed(client=submitter, body=Heartbeat(0, 1, 0))
    refused("a key where a signature is wanted", unsigned, 401, "wire/unauthenticated")
    refused("work for no node", lease.sync_detailed(client=submitter, body=LeaseRequest(1, 0)), 401, "wire/unauthenticated")


def check_books(ids: list[str]) -> None:
    """What was paid for, and that nothing was made or lost."""
    left = ok(balance.sync_detailed(client=submitter))
    moved = ok(transfers.sync_detailed(client=submitter, limit=500)).items
    change = sum(t.amount if t.to == left.account else -t.amount for t in moved)
    expect("books: the balance follows from the transfers", left.balance == change, (left, change))
    done = [ok(show_job.sync_detailed(job_id, client=submitter)) for job_id in ids]
    spent = sum(job.spent for job in done)
    expect("books: what was spent is gone", 0 < spent == CREDITS - left.balance, (spent, left))
    expect("books: nothing is in escrow", all(job.escrow == 0 for job in done), done)
    everything = ok(accounts.sync_detailed(client=admin, limit=500))
    expect("books: the sum is zero", sum(entry.balance for entry in everything.items) == 0, everything)
    gift = Deposit("submitter:python", 5)
    first = ok(deposit.sync_detailed(client=admin, body=gift, idempotency_key="gift"))
    second = ok(deposit.sync_detailed(client=admin, body=gift, idempotency_key="gift"))
    expect("idempotency: one deposit", first.balance == second.balance == left.balance + 5, (first, second))


def check_network(job) -> None:
    public = holder(None)
    view = ok(show_network.sync_detailed(client=public))
    expect("network: nodes are there", view.nodes >= 3, view)
    solvers = [node for node in ok(list_nodes.sync_detailed(client=admin)).items if node.manifest.role == "solver"]
    node = ok(show_node.sync_detailed(solvers[0].id, client=admin))
    expect("network: nodes worked", sum(solver.accepted for solver in solvers) > 0, node)
    for drain in (True, False):
        ok(drain_node.sync_detailed(node.id, client=admin, body=DrainNodeBody(drain)))
    # Whether each segment was compared depends on the standing of nodes when it was drawn.
    known = add_canary.sync_detailed(client=admin, body=AddCanaryBody(job.id))
    if known.status_code == 201:
        expect("network: known answers", known.parsed.rows == job.spec.rows, known)
    else:
        refused("no known answers", known, 409, "canary/answers")
    expect("log: a signed note", ok(checkpoint.sync_detailed(client=public)).startswith(view.log_origin + "\n"))
    leaves = ok(log_entries.sync_detailed(client=public, from_=0)).leaves
    proof = ok(log_inclusion.sync_detailed(client=public, index=len(leaves) - 1))
    expect("log: the last leaf", proof.leaf == leaves[-1] and proof.size >= len(leaves), proof)
    ok(log_consistency.sync_detailed(client=public, from_=1, to=len(leaves)))
    refused("beyond the log", log_inclusion.sync_detailed(client=public, index=10**6), 404, "wire/not-found")


def check_keys() -> None:
    """The generated client writes times with an offset, where our own writes `Z`."""
    at = datetime.now(timezone(timedelta(hours=2))) + timedelta(hours=1)
    client, key = account("short-lived", ["jobs:read"], expires_at=at)
    expect("keys: end when they should", abs(key.expires_at - at) < timedelta(milliseconds=1), (key, at))
    ok(balance.sync_detailed(client=client))
    expect("keys: listed", key.id in [entry.id for entry in ok(list_keys.sync_detailed(client=admin, limit=500)).items])
    expect("keys: revoked", ok(revoke_key.sync_detailed(key.id, client=admin)).revoked_at is not None)
    refused("a key that was revoked", balance.sync_detailed(client=client), 401, "wire/unauthenticated")


missing = document.missing_in_client("assay_client")
expect("operations: all generated", missing == [], missing)
admin = holder(token)
submitter, _ = account("python", ["jobs:read", "jobs:write"], CREDITS)
large = large_job()
ids = [large.id, *small_jobs(6)]
check_pages(ids)
check_refusals(large)
check_books(ids)
check_network(large)
check_keys()

print(f"  {len(document.operations)} operations in the document, all in the generated client; {len(document.called)} called")
statuses = ", ".join(f"{count} x {status}" for status, count in sorted(document.statuses.items()))
print(f"  {sum(document.called.values())} answers judged by the document ({statuses}), {document.values} values by its schemas")
print("  " + ", ".join(f"{what} {count}" for what, count in checked.items()))
