//! The verbs of the command line, one file each; no logic of their own.
