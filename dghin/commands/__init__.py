"""The subcommands of `dghin`: each file reads the words of one command line and calls the rest.

Imported by `dghin.__main__` when its command is asked for; nothing else imports from here.
"""
