"""A guestbook whose entries are kept, and worked on by tasks."""
