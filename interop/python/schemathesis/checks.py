"""Checks of the answers that the admin API gives to a client without its token."""

import schemathesis


@schemathesis.check
def refused(ctx, response, case):
    """Each answer is that the token is missing, and nothing else."""
    assert response.status_code == 401, f"status {response.status_code} without a token"
    assert response.json()["code"] == "unauthorized", response.text
    assert response.headers["www-authenticate"][0].startswith("Bearer ")
