package multiplex

import "time"

// Interval returns after how long a silence the next session pings.
func (c *Client) Interval() time.Duration { return c.keepalive.Interval() }
