"""What accounts look like on the wire."""

from marshmallow import Schema, fields

from promptcrafter.fields import CreateSchema, Email, Text, Timestamp

PASSWORD_MIN, PASSWORD_MAX = 10, 128  # characters


class SignupIn(CreateSchema):
    """A new account."""

    name = Text(required=True, minimum=1, maximum=100, blank=False, metadata={"example": "Ada Lovelace"})
    email = Email(required=True, metadata={"example": "ada@example.com"})
    password = Text(
        required=True, minimum=PASSWORD_MIN, maximum=PASSWORD_MAX, metadata={"example": "correct horse battery"}
    )


class LoginIn(CreateSchema):
    """Credentials."""

    email = Text(required=True, minimum=1, maximum=254, metadata={"example": "ada@example.com"})
    password = Text(required=True, minimum=1, maximum=PASSWORD_MAX, metadata={"example": "correct horse battery"})


class PasswordIn(CreateSchema):
    """A change of password."""

    currentPassword = Text(required=True, minimum=1, maximum=PASSWORD_MAX)
    newPassword = Text(required=True, minimum=PASSWORD_MIN, maximum=PASSWORD_MAX)


class UserOut(Schema):
    """An account, without its password."""

    id = fields.String(data_key="_id", required=True)
    name = fields.String(required=True)
    email = fields.String(required=True)
    created_at = Timestamp(data_key="createdAt", required=True)


class LoginOut(Schema):
    """A token and whose it is."""

    token = fields.String(required=True)
    user = fields.Nested(UserOut(), required=True)


class SignupOut(LoginOut):
    """The token of a new account."""

    message = fields.String(required=True)
