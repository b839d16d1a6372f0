"""What ``python manage.py demo`` does: keys, two servers, and the walkthrough."""
