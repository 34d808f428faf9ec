"""The requests and responses of workspaces, members, invitations, and of accounts and keys as far as they know them."""

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, pre_load, validate

from promptcrafter.auth.schemas import PASSWORD_MAX, TOKEN_MAX, UserOut
from promptcrafter.http.fields import (
    BoundedList,
    Email,
    Flag,
    Name,
    PatternText,
    Text,
    Timestamp,
    TimestampIn,
    TimestampText,
    WholeNumber,
)
from promptcrafter.http.ignored_fields import describe_known
from promptcrafter.http.page_query import PageQuery
from promptcrafter.http.schemas import CreateSchema
from promptcrafter.ids import KINDS, Kind, pattern
from promptcrafter.permissions import ROLES, SCOPES
from promptcrafter.problems import REQUIRED
from promptcrafter.text import LABEL_PATTERN

SLUG_PATTERN = "[a-z0-9-]{1,64}"
SLUG_EXAMPLE = "support-team"
_NAME_MAX = 100
_REFERENCE_MAX = 64
_LABELS_MAX = 50
_DAYS_DEFAULT, _DAYS_MAX = 7, 30
ACTIONS = (
    *("workspace.create", "workspace.change", "member.join", "member.change", "member.remove", "member.leave"),
    *("invitation.create", "invitation.revoke", "key.create", "key.revoke"),
    *("prompt.create", "prompt.change", "prompt.restore", "prompt.delete", "label.set", "label.remove"),
    *("experiment.create", "experiment.change", "experiment.delete", "trace.delete", "log.change", "log.delete"),
    *("score.change", "score.delete", "score_config.create", "score_config.change", "score_config.archive"),
    *("export", "import", "prune"),
)


class StrictSchema(CreateSchema):
    """A body whose fields decide who may do what: unknown ones are refused, and so are nulls, which could mean all."""

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Leave the fields as they are: a null is no absent value here."""

    @pre_load
    def drop_nulls(self, data: Any, **kwargs: Any) -> Any:
        """Keep nulls, which marshmallow refuses."""
        return data


def _slug(**options: Any) -> PatternText:
    rule = "must consist of 1 to 64 lower-case letters, digits and hyphens"
    return PatternText(f"^{SLUG_PATTERN}$", rule, maximum=64, metadata={"example": SLUG_EXAMPLE}, **options)


def _role() -> Text:
    return Text(required=True, choices=ROLES, metadata={"example": "editor"})


class WorkspaceIn(StrictSchema):
    """A new workspace. Without a slug it gets one that is derived from its name."""

    name = Name(required=True, minimum=1, maximum=_NAME_MAX, metadata={"example": "Support team"})
    slug = _slug()


class _LabelList(BoundedList):
    """A list of labels; loads without repetitions."""

    def load_items(self, items: list[Any]) -> list[Any]:
        """Return the different labels. Raises ValidationError."""
        return list(dict.fromkeys(super().load_items(items)))


class WorkspacePatch(StrictSchema):
    """Changes of a workspace."""

    name = Name(minimum=1, maximum=_NAME_MAX, metadata={"example": "Support team"})
    slug = _slug()
    protected_labels = _LabelList(
        PatternText(
            f"^{LABEL_PATTERN}$",
            "must be a label: a letter, then up to 63 letters, digits, dots, underscores or hyphens",
            maximum=64,
            validate=validate.NoneOf(("latest",), error="must not be latest, which is the newest version and not set"),
        ),
        data_key="protectedLabels",
        maximum=_LABELS_MAX,
        metadata={"example": ["production"], "description": "The labels that only owners move"},
    )


class WorkspaceOut(Schema):
    """A workspace, with the role of the caller in it."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("workspace")})
    slug = fields.String(required=True)
    name = fields.String(required=True)
    personal = fields.Boolean(required=True, metadata={"description": "Whether it is that of an account alone"})
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    created_at = Timestamp(data_key="createdAt", required=True)
    updated_at = Timestamp(data_key="updatedAt", required=True)
    protected_labels = fields.List(fields.String(), data_key="protectedLabels", required=True)


class WorkspaceWithUse(WorkspaceOut):
    """A workspace, with what it stores. The last two are shown to owners only, on a server that has a limit."""

    used_bytes = fields.Integer(data_key="usedBytes", metadata={"description": "How many bytes it stores"})
    max_bytes = fields.Integer(data_key="maxBytes", metadata={"description": "How many bytes it may store"})


class DeletionQuery(Schema):
    """The query parameters of the deletion of a workspace."""

    confirm = Text(
        required=True,
        error_messages={"required": f"{REQUIRED}: as a query parameter, the slug of the workspace"},
        minimum=1,
        maximum=_REFERENCE_MAX,
        metadata={"example": SLUG_EXAMPLE, "description": "The workspace's slug"},
    )


class MemberOut(Schema):
    """A member of a workspace."""

    user_id = fields.String(data_key="userId", required=True, metadata={"pattern": pattern("user")})
    name = fields.String(required=True)
    email = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    created_at = Timestamp(data_key="joinedAt", required=True)
    is_disabled = fields.Boolean(
        data_key="disabled", required=True, metadata={"description": "Whether the operator has disabled the account"}
    )


class MemberPatch(StrictSchema):
    """The new role of a member."""

    role = _role()


class InvitationIn(StrictSchema):
    """A new invitation."""

    role = _role()
    expires_in_days = WholeNumber(
        data_key="expiresInDays", minimum=1, maximum=_DAYS_MAX, load_default=_DAYS_DEFAULT, metadata={"example": 7}
    )


class InvitationOut(Schema):
    """An open invitation, without its token."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("invitation")})
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    author_id = fields.String(data_key="createdBy", required=True, metadata={"pattern": pattern("user")})
    created_at = Timestamp(data_key="createdAt", required=True)
    expires_at = Timestamp(data_key="expiresAt", required=True)


class NewInvitationOut(InvitationOut):
    """A new invitation with its token, which is shown this once."""

    token = fields.String(
        required=True, metadata={"description": "`inv_` and 43 characters; hand it to your colleague"}
    )
    url = fields.String(
        required=True,
        metadata={"description": "The page that accepts it. Behind the `#`, which no server sees, is the token"},
    )


_INVITATION_DESCRIPTION = "The token of an invitation: `inv_` and 43 characters"


class AcceptIn(StrictSchema):
    """The token of an invitation."""

    token = Text(
        required=True,
        minimum=1,
        maximum=TOKEN_MAX,
        metadata={"example": "inv_Q3zXG0v5pWk8n2LrT7yBc1HdJf4MsE9aUoRi6KxVwNg", "description": _INVITATION_DESCRIPTION},
    )


class KeyIn(CreateSchema):
    """A new API key. Unknown fields and a null as a restriction are refused: the key would do more than was meant."""

    class Meta:
        unknown = RAISE

    name = Name(required=True, minimum=1, maximum=100, metadata={"example": "nightly evaluation"})
    expires_at = TimestampIn(
        data_key="expiresAt",
        allow_none=True,
        metadata={
            "description": "A time in the future; without it the key does not expire",
            "example": "2099-12-31T00:00:00Z",
        },
    )
    workspace = Text(
        minimum=1,
        maximum=_REFERENCE_MAX,
        metadata={"description": "Id or slug of the one workspace that it may access; without it, all of yours"},
    )
    scopes = BoundedList(
        Text(choices=SCOPES),
        minimum=1,
        maximum=len(SCOPES),
        metadata={"example": ["ingest"], "description": "What it may do, as far as your role allows; without it, all"},
    )

    @pre_load
    def drop_nulls(self, data: Any, **kwargs: Any) -> Any:
        """Drop nulls, but refuse those that would widen what the key may do."""
        nulls = [name for name in ("workspace", "scopes") if isinstance(data, dict) and name in data and not data[name]]
        if nulls:
            raise ValidationError({name: ["must be left out, or say which"] for name in nulls})
        return super().drop_nulls(data)


class WorkspaceKeyOut(Schema):
    """An API key that is bound to a workspace, and whose it is."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("key")})
    name = fields.String(required=True)
    prefix = fields.String(required=True)
    user_id = fields.String(data_key="userId", required=True, metadata={"pattern": pattern("user")})
    user_name = fields.String(data_key="userName", required=True)
    scopes = fields.List(fields.String(), allow_none=True, required=True)
    created_at = Timestamp(data_key="createdAt", required=True)
    expires_at = Timestamp(data_key="expiresAt", required=True, allow_none=True)
    last_used_at = Timestamp(data_key="lastUsedAt", required=True, allow_none=True)


class AccountPatch(StrictSchema):
    """Changes of the caller's account."""

    hints = dict.fromkeys(
        ("password", "newPassword"), "is not changed by this call, but by POST /auth/password with newPassword"
    )
    name = Name(minimum=1, maximum=100, metadata={"example": "Ada Lovelace"})
    email = Email(metadata={"example": "ada@example.com"})
    currentPassword = Text(
        minimum=1,
        maximum=PASSWORD_MAX,
        metadata={"example": "correct horse battery", "description": "Required with `email`"},
    )
    defaultWorkspaceId = Text(
        allow_none=True,
        minimum=1,
        maximum=_REFERENCE_MAX,
        metadata={"description": "Id or slug: where tokens act without `X-Workspace`; null: in the personal workspace"},
    )


class MeOut(UserOut):
    """The caller's account."""

    default_workspace_id = fields.String(
        data_key="defaultWorkspaceId",
        required=True,
        metadata={"pattern": pattern("workspace"), "description": "Where tokens act without `X-Workspace`"},
    )


class DeletionIn(StrictSchema):
    """The deletion of the caller's account."""

    currentPassword = Text(
        required=True, minimum=1, maximum=PASSWORD_MAX, metadata={"example": "correct horse battery"}
    )
    anonymise = Flag(load_default=False, metadata={"description": "Whether what it made elsewhere loses its name, too"})


class ActorOut(Schema):
    """Who did something."""

    kind = fields.String(required=True, validate=validate.OneOf(("user", "key", "cli")))
    id = fields.String(required=True, metadata={"description": "Of the account or the key; empty for `cli`"})
    name = fields.String(required=True, metadata={"description": "`deleted account` if the name was removed"})
    user_id = fields.String(
        data_key="userId",
        required=True,
        allow_none=True,
        metadata={"description": "The account, also of a key; null for `cli`"},
    )


class SubjectOut(Schema):
    """What it was done to."""

    type = fields.String(required=True)
    id = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)


class AuditEntryOut(Schema):
    """An entry of the audit trail."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("audit")})
    created_at = Timestamp(data_key="at", required=True)
    actor = fields.Nested(ActorOut(), required=True)
    action = fields.String(required=True)
    subject = fields.Nested(SubjectOut(), data_key="object", required=True)
    before = fields.Raw(required=True, allow_none=True)
    after = fields.Raw(required=True, allow_none=True)
    request_id = fields.String(data_key="requestId", required=True, allow_none=True)


class _Action(Text):
    """An action of the audit trail. An unknown one is refused: a list without entries would say that nobody did it."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text not in ACTIONS:
            raise ValidationError(f"must be one of the actions; {describe_known(text, ACTIONS)}")
        return text


def _id_of(*kinds: Kind, rule: str, description: str) -> PatternText:
    """Return a query parameter that takes ids of these kinds."""
    forms = "|".join(pattern(kind)[1:-1] for kind in kinds)
    return PatternText(f"^({forms})$", rule, maximum=_REFERENCE_MAX, metadata={"description": description})


class AuditQuery(PageQuery):
    """The filters of the audit trail."""

    since = TimestampText(description="At this time or later, such as `2024-06-20T13:10:00Z`")
    until = TimestampText(description="Before this time")
    actor = _id_of(
        "user", "key", rule="must be the id of an account or of an API key", description="The id of an account or a key"
    )
    action = _Action(maximum=_REFERENCE_MAX, metadata={"enum": [*ACTIONS], "description": "Such as `label.set`"})
    object = _id_of(
        *KINDS,
        rule="must be an id, such as that of a prompt",
        description="The id of what was changed, or of its prompt",
    )
