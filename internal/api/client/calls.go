package client

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

// Status returns how the process does.
func (c *Client) Status(ctx context.Context) (status api.Status, err error) {
	return status, c.call(ctx, http.MethodGet, "/api/v1/status", nil, &status)
}

// Tunnels returns all tunnels.
func (c *Client) Tunnels(ctx context.Context) (tunnels []api.Tunnel, err error) {
	return tunnels, c.call(ctx, http.MethodGet, "/api/v1/tunnels", nil, &tunnels)
}

// Tunnel returns the tunnel with this ID.
func (c *Client) Tunnel(ctx context.Context, id string) (tunnel api.Tunnel, err error) {
	return tunnel, c.call(ctx, http.MethodGet, "/api/v1/tunnels/"+url.PathEscape(id), nil, &tunnel)
}

// Users returns users of one tunnel, or of all if tunnel is empty, at most limit.
func (c *Client) Users(ctx context.Context, tunnel string, limit int) (users []api.User, err error) {
	return users, c.call(ctx, http.MethodGet, "/api/v1/users"+query(tunnel, limit), nil, &users)
}

// Ended returns the last connections that are over, of one tunnel, or of all if tunnel is
// empty: the latest first, at most limit.
func (c *Client) Ended(ctx context.Context, tunnel string, limit int) (ended []api.Ended, err error) {
	return ended, c.call(ctx, http.MethodGet, "/api/v1/ended"+query(tunnel, limit), nil, &ended)
}

// Refusals returns the last refusals: the latest first, at most limit.
func (c *Client) Refusals(ctx context.Context, limit int) (refusals []api.Refusal, err error) {
	return refusals, c.call(ctx, http.MethodGet, "/api/v1/refusals"+query("", limit), nil, &refusals)
}

func query(tunnel string, limit int) string {
	values := url.Values{"limit": {strconv.Itoa(limit)}}
	if tunnel != "" {
		values.Set("tunnel", tunnel)
	}
	return "?" + values.Encode()
}

// Limits returns the limits, and what is used of each.
func (c *Client) Limits(ctx context.Context) (limits []api.Limit, err error) {
	return limits, c.call(ctx, http.MethodGet, "/api/v1/limits", nil, &limits)
}

// Causes returns what ended connections and requests in each of the last 60 minutes.
func (c *Client) Causes(ctx context.Context) (causes api.Causes, err error) {
	return causes, c.call(ctx, http.MethodGet, "/api/v1/causes", nil, &causes)
}

// Bans returns the sources that are shut out.
func (c *Client) Bans(ctx context.Context) (bans []api.Ban, err error) {
	return bans, c.call(ctx, http.MethodGet, "/api/v1/bans", nil, &bans)
}

// EndUser resets a user's connection.
func (c *Client) EndUser(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/api/v1/users/"+url.PathEscape(id), nil, nil)
}

// CloseTunnel ends a tunnel and its users.
func (c *Client) CloseTunnel(ctx context.Context, id string) error { return c.change(ctx, id, "close") }

// Pause has a tunnel take no new users until Resume.
func (c *Client) Pause(ctx context.Context, id string) error { return c.change(ctx, id, "pause") }

// Resume has a tunnel take new users again.
func (c *Client) Resume(ctx context.Context, id string) error { return c.change(ctx, id, "resume") }

func (c *Client) change(ctx context.Context, tunnel, how string) error {
	return c.call(ctx, http.MethodPost, "/api/v1/tunnels/"+url.PathEscape(tunnel)+"/"+how, nil, nil)
}

// Ban shuts a source out, for whole seconds.
func (c *Client) Ban(ctx context.Context, source netip.Prefix, d time.Duration) error {
	in := api.NewBan{Source: source.String(), Seconds: int64(d / time.Second)}
	return c.call(ctx, http.MethodPost, "/api/v1/bans", in, nil)
}

// Unban lets a source in again.
func (c *Client) Unban(ctx context.Context, source netip.Prefix) error {
	return c.call(ctx, http.MethodDelete, "/api/v1/bans/"+url.PathEscape(source.String()), nil, nil)
}

// NewToken adds a token to the tokens file. Its secret is not kept anywhere else.
func (c *Client) NewToken(ctx context.Context, name string) (token api.Token, err error) {
	return token, c.call(ctx, http.MethodPost, "/api/v1/tokens", api.NewToken{Name: name}, &token)
}

// Reload has the process read again what it reads again with SIGHUP.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/api/v1/reload", nil, nil)
}

// Drain begins a graceful end of the process.
func (c *Client) Drain(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/api/v1/drain", nil, nil)
}

// upgradeWait is how long another process may take until it has taken over, or has failed to.
const upgradeWait = time.Minute

// Upgrade has a new process of the program take over from the one that is asked, and returns
// when it has.
func (c *Client) Upgrade(ctx context.Context) (done api.Upgrade, err error) {
	patient := *c
	t := c.http.Transport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = upgradeWait
	defer t.CloseIdleConnections()
	patient.http = &http.Client{Transport: t, CheckRedirect: c.http.CheckRedirect}
	return done, patient.call(ctx, http.MethodPost, "/api/v1/upgrade", nil, &done)
}
