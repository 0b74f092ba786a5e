"""Bytes that a transaction left unused, until their file is gone.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "unused_originals",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unused_originals")),
    )
    op.create_index(op.f("ix_unused_originals_sha256"), "unused_originals", ["sha256"])


def downgrade() -> None:
    op.drop_index(op.f("ix_unused_originals_sha256"), table_name="unused_originals")
    op.drop_table("unused_originals")
