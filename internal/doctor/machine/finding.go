package machine

import "github.com/seed96252745/relay/internal/doctor"

func ok(format string, args ...any) doctor.Finding {
	return doctor.Found(doctor.OK, "", format, args...)
}

func skipped(format string, args ...any) doctor.Finding {
	return doctor.Found(doctor.Skipped, "", format, args...)
}

func warning(advice, format string, args ...any) doctor.Finding {
	return doctor.Found(doctor.Warning, advice, format, args...)
}

func problem(advice, format string, args ...any) doctor.Finding {
	return doctor.Found(doctor.Problem, advice, format, args...)
}
