"""Where a generation's embedder is loaded from.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("generations", sa.Column("embedder_source", sa.Text(), nullable=True))


def downgrade() -> None:
    # No batch: on SQLite that makes the table anew, and dropping the old one empties `active_generations`,
    # whose rows go with theirs (ON DELETE CASCADE).
    op.drop_column("generations", "embedder_source")
