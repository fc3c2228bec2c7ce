"""The audit log refuses changes, and deletion of what is younger than 400 days."""

from django.db import migrations

TRIGGER = """
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON kernel_auditevent
FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("kernel", "0002_rows")]
    operations = [
        migrations.RunSQL(TRIGGER, "DROP TRIGGER audit_append_only ON kernel_auditevent")
    ]
