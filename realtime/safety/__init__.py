"""The alert engine wired into a process: intake, local copies, peers, delivery's meter, the auditor."""
