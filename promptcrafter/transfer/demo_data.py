"""The content of the demonstration, as lines of an export: see `transfer.schemas`. Pure but for new ids.

The same day gives the same content but for the ids. Differences between versions are real: the scores of each are drawn
around a mean of its own.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from promptcrafter.clock import to_text
from promptcrafter.ids import new_id
from promptcrafter.transfer import demo_texts
from promptcrafter.transfer.demo_texts import MODELS, TICKETS, Ticket

DAYS = 60
OUTPUTS = 1500
EXPERIMENT = "reply-wording"
_SEED = 18
_RUNS = 45
_TRIED = 60  # tickets that each version answers when it is new, so that versions are compared on the same inputs
_EXPERIMENT_DAYS = 16
_STAGING = 0.25  # of the outputs are of the newest version while another one is in production
_SCORED = 0.62  # of the outputs, by one person at least
_FAILED = 0.03
_WEIGHTS = {"gpt-4o": 3, "gpt-4o-mini": 4, "claude-sonnet-4-5": 3, "gemini-2.5-flash": 2}
_QUALITY = {"gpt-4o": 0.3, "gpt-4o-mini": -0.6, "claude-sonnet-4-5": 0.6, "gemini-2.5-flash": -0.2}
_LATENCY_MS = {"gpt-4o": 1900, "gpt-4o-mini": 900, "claude-sonnet-4-5": 2600, "gemini-2.5-flash": 650}
_PROVIDERS = {"claude-sonnet-4-5": "anthropic", "gemini-2.5-flash": "google"}
_LENIENCE = (0.4, 0.0, -0.5)  # of the people who score
PROGRAM = 3  # the place of the shop's program in the list of people, behind those who score


class VersionPlan(NamedTuple):
    """A version of a prompt: by whom and when it was written, and how good its outputs are."""

    text: str
    comment: str | None
    author: int  # in the list of people
    days_ago: float
    score: float  # the mean of what people think of its outputs


class PromptPlan(NamedTuple):
    """A prompt: its versions from 1 on, and when `production` moved to which."""

    slug: str
    title: str
    description: str
    tags: Sequence[str]
    system: str | None  # of a chat prompt
    versions: Sequence[VersionPlan]
    production: Sequence[tuple[float, int, int]]  # days ago, version, by whom
    share: float  # of all outputs


REPLY, SUMMARY, CLASSIFICATION = "reply-to-a-customer", "summarise-a-ticket", "classify-a-ticket"
PROMPTS = (
    PromptPlan(
        REPLY,
        "Reply to a customer",
        "The first draft of an answer, which support reads before it is sent.",
        ("support", "mail"),
        "You write for the support team of Trailhead, a shop for hiking gear.",
        (
            VersionPlan("Answer this mail of {{customer}}:\n\n{{message}}", None, 0, 60, 5.0),
            VersionPlan(
                "Answer this mail of {{customer}} politely, with a greeting and the next step:\n\n{{message}}",
                *("Answers had no greeting, and left people wondering what to do", 1, 46, 6.6),
            ),
            VersionPlan(
                "Answer this mail of {{customer}} with much empathy. Apologise first, then help:\n\n{{message}}",
                *("More empathy, as the shop managers asked", 2, 31, 5.7),
            ),
            VersionPlan(
                "Answer this mail of {{customer}}. Begin with the answer. Then one line on what they can do. "
                "At most 80 words, no apologies unless we made a mistake.\n\n{{message}}",
                *("Answer first, short: reviewers disliked long apologies", 0, 17, 8.3),
            ),
        ),
        ((60, 1, 0), (44, 2, 1), (29, 3, 2), (23, 2, 0), (4, 4, 0)),
        0.44,
    ),
    PromptPlan(
        SUMMARY,
        "Summarise a ticket",
        "One look at a ticket for whoever takes it over.",
        ("support", "summary"),
        None,
        (
            VersionPlan("Summarise:\n\n{{message}}", None, 1, 60, 5.4),
            VersionPlan(
                "Summarise this ticket in three bullet points: what happened, category, urgency.\n\n{{message}}",
                *("Bullet points are read faster", 1, 40, 7.2),
            ),
            VersionPlan(
                "Summarise this ticket in one sentence, then name the next step.\n\n{{message}}",
                *("Try one sentence with the next step", 2, 20, 7.3),
            ),
        ),
        ((60, 1, 1), (37, 2, 1)),
        0.31,
    ),
    PromptPlan(
        CLASSIFICATION,
        "Classify a ticket",
        "Category and urgency as JSON, for the queue.",
        ("support", "routing"),
        "You sort tickets. Answer with JSON only.",
        (
            VersionPlan("Which category and urgency has this ticket?\n\n{{message}}", None, 0, 60, 6.2),
            VersionPlan(
                "Choose a category (delivery, returns, billing, product, account) and an urgency (low, normal, "
                "high).\n\n{{message}}",
                *("Name the categories: the model made up its own", 0, 48, 7.5),
            ),
            VersionPlan(
                "Choose a category (delivery, returns, billing, product, account) and an urgency (low, normal, "
                "high). Danger and missed dates are high. If two fit, choose what must be done first.\n\n{{message}}",
                *("Rules for high urgency and for two categories", 2, 26, 8.6),
            ),
        ),
        ((60, 1, 0), (47, 2, 0), (22, 3, 2)),
        0.25,
    ),
)


class LabelMove(NamedTuple):
    """A label that was set on a version."""

    prompt_id: str
    label: str
    before: int | None
    version: int
    author: int
    moment: datetime


@dataclass
class Demonstration:
    """Fields of lines by their names in JSON. Versions and scores have the place of their author in the people."""

    prompts: list[dict[str, Any]] = field(default_factory=list)
    versions: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    moves: list[LabelMove] = field(default_factory=list)
    experiments: list[dict[str, Any]] = field(default_factory=list)
    traces: list[dict[str, Any]] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    scores: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


class _Call(NamedTuple):
    """A call of a model that is to be made up."""

    plan: PromptPlan
    prompt_id: str
    ticket: Ticket
    moment: datetime  # of its end
    more: Mapping[str, Any] = {}  # other fields of the log
    tried: int | None = None  # the version that is tried; None: the one that is used at that time


def make(now: datetime) -> Demonstration:
    """Return the content for the 60 days until `now`."""
    return _Maker(now).make()


class _Maker:
    def __init__(self, now: datetime) -> None:
        self._now = now
        self._random = Random(_SEED)
        self._ids = {plan.slug: new_id("prompt") for plan in PROMPTS}
        self._experiment_id = new_id("experiment")
        self._made = Demonstration()

    def make(self) -> Demonstration:
        for plan in PROMPTS:
            self._add_prompt(plan)
        self._add_experiment()
        calls = [call for _ in range(_RUNS) for call in self._add_run()]
        calls += self._try_versions()
        shares = [plan.share for plan in PROMPTS]
        for _ in range(OUTPUTS - len(calls)):
            (plan,) = self._random.choices(PROMPTS, shares)
            calls.append(_Call(plan, self._ids[plan.slug], self._choose_ticket(), self._choose_moment()))
        for call in sorted(calls, key=lambda call: call.moment):
            self._add_output(call)
        return self._made

    def _ago(self, days: float) -> datetime:
        return self._now - timedelta(days=days)

    def _add_prompt(self, plan: PromptPlan) -> None:
        prompt_id, production = self._ids[plan.slug], plan.production[-1][1]
        times = {"createdAt": to_text(self._ago(DAYS)), "updatedAt": to_text(self._ago(plan.versions[-1].days_ago))}
        named = {"slug": plan.slug, "title": plan.title, "description": plan.description, "tags": list(plan.tags)}
        self._made.prompts.append({"_id": prompt_id, **named, **times})
        for number, version in enumerate(plan.versions, 1):
            labels = [] if number != production else ["production"]
            if number == len(plan.versions):
                labels.append("staging")
            content: dict[str, Any] = {"content": version.text}
            if plan.system is not None:
                messages = (("system", plan.system), ("user", version.text))
                content = {"messages": [{"role": role, "content": text} for role, text in messages]}
            shown = {"promptId": prompt_id, "version": number, "model": "gpt-4o", "config": {"temperature": 0.3}}
            created = {"labels": labels, "createdAt": to_text(self._ago(version.days_ago)), "comment": version.comment}
            self._made.versions.append((version.author, {**shown, **content, **created}))
            before = number - 1 or None
            moment = self._ago(version.days_ago) + timedelta(minutes=4)
            self._made.moves.append(LabelMove(prompt_id, "staging", before, number, version.author, moment))
        before = None
        for days_ago, number, author in plan.production:
            moment = self._ago(days_ago) + timedelta(minutes=9)
            self._made.moves.append(LabelMove(prompt_id, "production", before, number, author, moment))
            before = number

    def _add_experiment(self) -> None:
        pinned = {"promptId": self._ids[REPLY], "trafficPercent": 50}
        times = dict.fromkeys(("createdAt", "updatedAt"), to_text(self._ago(_EXPERIMENT_DAYS)))
        variants = [
            {"key": "polite", "payload": {}, **pinned, "promptVersion": 2},
            {"key": "answer first", "payload": {}, **pinned, "promptVersion": 4},
        ]
        named = {"slug": EXPERIMENT, "name": "Polite, or the answer first?", "status": "ACTIVE"}
        self._made.experiments.append({"_id": self._experiment_id, **named, "variants": variants, **times})

    def _choose_ticket(self) -> Ticket:
        """Return a ticket: each message comes in some spellings, so that versions have many inputs in common."""
        ticket, greeting = self._random.choice(TICKETS), self._random.choice(demo_texts.GREETINGS)
        message = ticket.message
        if greeting and not message.startswith("I "):
            message = f"{message[0].lower()}{message[1:]}"
        return ticket._replace(message=f"{greeting}{message}")

    def _choose_moment(self) -> datetime:
        """Return a time in the 60 days: more of them later, on weekdays and by day."""
        while True:
            day = self._random.uniform(0, DAYS)
            if self._random.random() * DAYS > DAYS - 0.6 * day:
                continue
            hour = min(23.9, max(0.0, self._random.gauss(13, 3.5)))
            midnight = self._ago(day).replace(hour=0, minute=0, second=0, microsecond=0)
            moment = midnight + timedelta(hours=hour, milliseconds=self._random.randrange(1000))
            if moment.weekday() >= 5 and self._random.random() < 0.6:
                continue
            if self._ago(DAYS - 0.5) < moment < self._now - timedelta(minutes=10):
                return moment

    def _choose_version(self, plan: PromptPlan, moment: datetime) -> int:
        """Return the version in production at a time, or the newest one that is tried beside it."""
        days_ago = (self._now - moment) / timedelta(days=1)
        newest = max(number for number, version in enumerate(plan.versions, 1) if version.days_ago >= days_ago)
        production = [number for since, number, _ in plan.production if since >= days_ago][-1]
        return newest if self._random.random() < _STAGING else production

    def _try_versions(self) -> Iterator[_Call]:
        """Yield calls of each version with the same tickets, made within hours after it was written."""
        tickets = list({ticket.message: ticket for ticket in (self._choose_ticket() for _ in range(400))}.values())
        for plan in PROMPTS:
            chosen = self._random.sample(tickets, _TRIED if plan.slug == REPLY else _TRIED * 2 // 3)
            for number, version in enumerate(plan.versions, 1):
                begin = self._ago(version.days_ago) + timedelta(minutes=30)
                for place, ticket in enumerate(chosen):
                    moment = begin + timedelta(seconds=4 * place + self._random.random())
                    yield _Call(plan, self._ids[plan.slug], ticket, moment, {"environment": "evaluation"}, number)

    def _add_run(self) -> Iterator[_Call]:
        """Add a run of the shop's program, and yield the calls of models in it."""
        ticket, begin = self._choose_ticket(), self._choose_moment()
        trace_id, external_id = new_id("trace"), f"{self._random.getrandbits(128):032x}"
        root, lookup, search = (f"{self._random.getrandbits(64):016x}" for _ in range(3))
        has_failed = self._random.random() < 0.1
        seconds = [self._random.uniform(*bounds) for bounds in ((0.05, 0.2), (0.4, 1.2), (0.1, 0.7), (1.0, 3.5))]
        ends = [begin + timedelta(seconds=sum(seconds[: place + 1])) for place in range(4)]
        origin = {"userId": f"customer-{self._random.randrange(100, 400)}", "sessionId": f"mail-{external_id[:8]}"}
        outcome = {"status": "error"} if has_failed else {}
        spans: list[dict[str, Any]] = [
            {"id": root, "kind": "agent", "name": "answer a mail", "startTime": begin, "endTime": ends[3], **outcome},
            {
                **{"id": lookup, "kind": "tool", "name": "look up the order", "parentId": root},
                **{"startTime": begin, "endTime": ends[0], "input": {"customer": ticket.customer}},
                **({"output": {"orders": 1}} if not has_failed else {"error": "the shop's database is locked"}),
                **outcome,
            },
            {
                **{"id": search, "kind": "retriever", "name": "search the handbook", "parentId": root},
                **{"startTime": ends[1], "endTime": ends[2]},
                **{"input": {"query": ticket.category}, "output": {"pages": [f"{ticket.category}.md"]}},
            },
        ]
        self._made.traces.append(
            {
                **{"_id": trace_id, "source": "otlp", "slug": "answer-a-mail", "name": "answer a mail"},
                **{"externalId": external_id, "rootSpanId": root, "input": {"message": ticket.message}},
                **{"startTime": to_text(begin), "endTime": to_text(ends[3]), "createdAt": to_text(ends[3])},
                **origin,
                **outcome,
            }
        )
        for span in spans:
            duration = (span["endTime"] - span["startTime"]) / timedelta(milliseconds=1)
            times = {name: to_text(span[name]) for name in ("startTime", "endTime")}
            self._made.spans.append({**span, **times, "traceId": trace_id, "durationMs": duration})
        in_run = {"traceId": trace_id, "parentSpanId": root, "source": "otlp", **origin}
        for slug, start, end in ((CLASSIFICATION, ends[0], ends[1]), (REPLY, ends[2], ends[3])):
            plan = next(plan for plan in PROMPTS if plan.slug == slug)
            call = {"name": plan.title.lower(), "spanId": f"{self._random.getrandbits(64):016x}"}
            yield _Call(plan, self._ids[slug], ticket, end, {**in_run, **call, "startTime": to_text(start)})

    def _add_output(self, call: _Call) -> None:
        random, plan, ticket = self._random, call.plan, call.ticket
        (model,) = random.choices(MODELS, [_WEIGHTS[each] for each in MODELS])
        more = dict(call.more)
        version = call.tried or self._choose_version(plan, call.moment)
        if plan.slug == REPLY and not more and call.moment > self._ago(_EXPERIMENT_DAYS):
            variant = random.choice(("polite", "answer first"))
            version = 2 if variant == "polite" else 4
            mean = 46 if variant == "polite" else 31
            metrics = {"minutesToClose": round(max(3.0, random.gauss(mean, 12)), 1)}
            metrics["solvedAtOnce"] = int(random.random() < (0.63 if variant == "polite" else 0.75))
            more |= {"experimentId": self._experiment_id, "variantKey": variant, "metrics": metrics}
        is_right = random.random() < (0.72, 0.86, 0.95)[min(version, 3) - 1]
        has_failed = not call.more and random.random() < _FAILED
        output = "" if has_failed else self._write_output(plan, ticket, version, model, is_right)
        latency = round(random.lognormvariate(math.log(_LATENCY_MS[model] + 2 * len(output)), 0.35))
        end = call.moment
        start = more.pop("startTime", to_text(end - timedelta(milliseconds=latency)))
        template = plan.versions[version - 1].text
        variables = {"message": ticket.message, **({"customer": ticket.customer} if plan.slug == REPLY else {})}
        log_id = new_id("log")
        log = {
            **{"_id": log_id, "promptId": call.prompt_id, "promptVersion": version, "modelUsed": model},
            **{"provider": _PROVIDERS.get(model, "openai"), "input": ticket.message, "variables": variables},
            **{
                "startTime": start,
                "endTime": to_text(end),
                "inputTokens": (len(template) + len(ticket.message) + len(plan.system or "")) // 4,
            },
            **{"environment": "production", "parameters": {"temperature": 0.3}, "metadata": {"channel": "mail"}},
            **{"createdAt": to_text(end), "updatedAt": to_text(end), **more},
        }
        if "traceId" in more:
            latency = round((end - datetime.fromisoformat(start)) / timedelta(milliseconds=1))
        log["latencyMs"] = latency
        if has_failed:
            log |= {"status": "error", "error": demo_texts.write_error(random)}
        else:
            log |= {"output": output, "outputTokens": max(4, len(output) // 4)}
            if plan.slug == CLASSIFICATION and random.random() < 0.2:
                log["idealOutput"] = demo_texts.write_classification(ticket, True, random)
            is_scored = call.tried is not None or random.random() < _SCORED
            self._add_scores(log, plan.versions[version - 1].score + _QUALITY[model], is_right, is_scored)
        self._made.logs.append(log)

    def _write_output(self, plan: PromptPlan, ticket: Ticket, version: int, model: str, is_right: bool) -> str:
        if plan.slug == REPLY:
            return demo_texts.write_reply(ticket, version, model, self._random)
        if plan.slug == SUMMARY:
            return demo_texts.write_summary(ticket, version, model, self._random)
        return demo_texts.write_classification(ticket, is_right, self._random)

    def _add_scores(self, log: dict[str, Any], mean: float, is_right: bool, is_scored: bool) -> None:
        """Add scores of people and of a judge to an output, some also a note; the log shows the last of people."""
        random = self._random
        end = datetime.fromisoformat(log["endTime"])
        quality = random.gauss(mean - (0 if is_right else 1.5), 1.1)
        if is_scored:
            raters = random.sample(range(3), random.choices((1, 2, 3), (6, 3, 1))[0])
            moment = end
            for rater in raters:
                moment += timedelta(minutes=random.uniform(30, 1500))
                if moment > self._now:
                    break
                value = min(10, max(0, round(quality + _LENIENCE[rater] + random.gauss(0, 0.6))))
                comment = random.choice(demo_texts.COMMENTS) if random.random() < 0.08 else None
                given = {"name": "score", "value": value, "annotator": "human", "comment": comment}
                self._add_score(log, rater, moment, given)
                log["score"], log["updatedAt"] = value, to_text(moment)
            if random.random() < 0.13:
                log["notes"] = random.choice(demo_texts.NOTES)
        if random.random() < 0.8:
            value = min(10, max(0, round(quality + random.gauss(0.3, 1.0))))
            given = {"name": "score", "value": value, "annotator": "judge", "identifier": "claude-opus"}
            self._add_score(log, PROGRAM, end + timedelta(seconds=2), given)
        if random.random() < 0.12:
            given = {"name": "helpful", "value": random.random() < quality / 10, "annotator": "enduser"}
            self._add_score(log, PROGRAM, end + timedelta(seconds=4), given)

    def _add_score(self, log: Mapping[str, Any], author: int, moment: datetime, given: Mapping[str, Any]) -> None:
        times = dict.fromkeys(("createdAt", "updatedAt"), to_text(moment))
        fields = {name: value for name, value in given.items() if value is not None}
        self._made.scores.append((author, {"_id": new_id("score"), "logId": log["_id"], **fields, **times}))
