"""What a user might pick instead, written as that user would write it well."""
