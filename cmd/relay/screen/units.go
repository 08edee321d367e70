package screen

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bytes returns a number of bytes with a decimal unit: 999 B, 1.2 kB, 15 MB.
func Bytes(n int64) string {
	const units = " kMGTPE"
	value, unit := float64(n), 0
	// 999.5 of a unit would be shown as 1000.
	for value >= 999.5 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	switch {
	case unit == 0:
		return strconv.FormatInt(n, 10) + " B"
	case value < 9.95:
		return fmt.Sprintf("%.1f %cB", value, units[unit])
	}
	return fmt.Sprintf("%.0f %cB", value, units[unit])
}

// Rate returns bytes for each second, or a dash for none.
func Rate(perSecond float64) string {
	if perSecond < 1 {
		return "-"
	}
	return Bytes(int64(perSecond)) + "/s"
}

// Count returns a number with commas between its thousands.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign, digits := digits[:len(digits)-len(strings.TrimPrefix(digits, "-"))], strings.TrimPrefix(digits, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Duration returns a duration by its two largest units: 380ms, 12s, 3m05s, 4h12m, 2d3h.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	days := int(d.Hours()) / 24
	return fmt.Sprintf("%dd%dh", days, int(d.Hours())%24)
}

// Seconds returns a number of seconds as a duration.
func Seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Clock returns a local time: of today without its date.
func Clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format(time.TimeOnly)
	}
	return t.Format("Jan _2 15:04:05")
}
