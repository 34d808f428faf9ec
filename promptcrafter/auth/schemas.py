"""The requests and responses of accounts and API keys."""

from marshmallow import Schema, fields

from promptcrafter.emails import LENGTH_MAX
from promptcrafter.http.fields import Email, Name, Text, Timestamp
from promptcrafter.http.schemas import CreateSchema
from promptcrafter.ids import pattern

PASSWORD_MIN, PASSWORD_MAX = 10, 128  # characters
TOKEN_MAX = 100  # of an invitation
_RESET_TOKEN_MAX = 100


class SignupIn(CreateSchema):
    """A new account."""

    name = Name(required=True, minimum=1, maximum=100, metadata={"example": "Ada Lovelace"})
    email = Email(required=True, metadata={"example": "ada@example.com"})
    password = Text(
        required=True, minimum=PASSWORD_MIN, maximum=PASSWORD_MAX, metadata={"example": "correct horse battery"}
    )
    invitation = Text(minimum=1, maximum=TOKEN_MAX, metadata={"description": "The token of an invitation"})


class LoginIn(CreateSchema):
    """The credentials of an account."""

    email = Text(required=True, minimum=1, maximum=LENGTH_MAX, metadata={"example": "ada@example.com"})
    password = Text(required=True, minimum=1, maximum=PASSWORD_MAX, metadata={"example": "correct horse battery"})


class PasswordIn(CreateSchema):
    """A change of password."""

    currentPassword = Text(
        required=True, minimum=1, maximum=PASSWORD_MAX, metadata={"example": "correct horse battery"}
    )
    newPassword = Text(
        required=True, minimum=PASSWORD_MIN, maximum=PASSWORD_MAX, metadata={"example": "correct horse battery staple"}
    )


class ResetIn(CreateSchema):
    """Another password instead of a forgotten one."""

    token = Text(
        required=True,
        minimum=1,
        maximum=_RESET_TOKEN_MAX,
        metadata={"example": "reset_…", "description": "The secret that the operator of the server has handed over"},
    )
    newPassword = Text(
        required=True, minimum=PASSWORD_MIN, maximum=PASSWORD_MAX, metadata={"example": "correct horse battery staple"}
    )


class UserOut(Schema):
    """An account, without its password."""

    id = fields.String(data_key="_id", required=True)
    name = fields.String(required=True)
    email = fields.String(required=True)
    created_at = Timestamp(data_key="createdAt", required=True)


class AccountOut(UserOut):
    """An account as the command line shows it to the operator."""

    disabled_since = Timestamp(data_key="disabledAt", required=True, allow_none=True)


class LoginOut(Schema):
    """A token and its account."""

    token = fields.String(required=True)
    user = fields.Nested(UserOut(), required=True)


class SignupOut(LoginOut):
    """The token of a new account."""

    message = fields.String(required=True)


class KeyOut(Schema):
    """An API key without its secret."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("key")})
    name = fields.String(required=True)
    prefix = fields.String(required=True, metadata={"description": "The first characters of the key"})
    created_at = Timestamp(data_key="createdAt", required=True)
    expires_at = Timestamp(data_key="expiresAt", required=True, allow_none=True)
    workspace_id = fields.String(
        data_key="workspaceId",
        required=True,
        allow_none=True,
        metadata={"description": "The one workspace that it may access; null: all of the account's"},
    )
    scopes = fields.List(
        fields.String(), required=True, allow_none=True, metadata={"description": "What it may do; null: all"}
    )
    last_used_at = Timestamp(
        data_key="lastUsedAt", required=True, allow_none=True, metadata={"description": "Right to the hour"}
    )


class NewKeyOut(KeyOut):
    """An API key with its secret, which is shown at its creation only."""

    key = fields.String(required=True, metadata={"description": "`pc_` and 43 characters; shown this once"})
