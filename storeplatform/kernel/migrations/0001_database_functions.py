"""What every table builds on: trigram indexes, the folding of search text, append-only tables."""

from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations

FOLD = r"""
CREATE FUNCTION store_fold(words text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT translate(
    regexp_replace(
      lower(normalize(words, NFKD)),
      U&'[\0300-\036f\0610-\061a\064b-\065f\0670\06d6-\06dc\0640]', '', 'g'),
    U&'\0671\0649\06cc\0629\06a9\0660\0661\0662\0663\0664\0665\0666\0667\0668\0669\06f0\06f1\06f2\06f3\06f4\06f5\06f6\06f7\06f8\06f9',
    U&'\0627\064a\064a\0647\064301234567890123456789')
$$;
"""

APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.occurred_at < now() - interval '400 days' THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME;
END $$;
"""


class Migration(migrations.Migration):
    initial = True
    dependencies: list = []
    operations = [
        TrigramExtension(),
        migrations.RunSQL(FOLD, "DROP FUNCTION store_fold(text)"),
        migrations.RunSQL(APPEND_ONLY, "DROP FUNCTION refuse_change()"),
    ]
