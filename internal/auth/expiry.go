package auth

import (
	"errors"
	"fmt"
	"time"
)

var errNoTime = errors.New("times are written 2027-01-31, for the end of that day in UTC, or 2027-01-31T18:00:00Z, from 1970 to 9999")

// parseExpiry returns the moment at which a token expires.
func parseExpiry(text string) (time.Time, error) {
	at, err := time.Parse(time.DateOnly, text)
	if err == nil {
		at = at.AddDate(0, 0, 1)
	} else {
		at, err = time.Parse(time.RFC3339, text)
	}
	at = at.UTC()
	// The zero time, which is in the year 1, stands for never.
	first, last := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if err != nil || at.Before(first) || at.After(last) {
		return time.Time{}, fmt.Errorf("%+.40q is not a time: %w", text, errNoTime)
	}
	return at, nil
}

func formatExpiry(at time.Time) string {
	hour, minute, second := at.Clock()
	switch {
	case at.IsZero():
		return ""
	case hour == 0 && minute == 0 && second == 0 && at.Nanosecond() == 0:
		return at.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return at.Format(time.RFC3339Nano)
}
