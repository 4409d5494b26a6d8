// Command golden makes the test vectors of CronJob schedules with the library that kube-controller-manager uses.
//
// Schedules are drawn from a seeded generator out of parts that people write, right and wrong, in zones with and without
// daylight saving; the beginning of each stretch lies within a day of a change of the clock in half of them. A line holds
// schedule, zone, the moment asked from, and the next three starts (Unix seconds), or "error". `make golden-cron` runs it.
package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

const cases = 2000

var (
	zones  = []string{"", "Europe/Zurich", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "Asia/Kathmandu"}
	edges  = []int64{1774746000, 1793494800, 1772953200, 1793512800, 1775314800, 1791037800} // clocks change in 2026
	fields = [][]string{
		{"0", "5", "30", "*/15", "3/20", "10-50/10", "0,30", "*", "?", "59"},
		{"0", "1", "2", "3", "*/6", "8-18", "22,23", "*", "2/5", "+4"},
		{"*", "*", "*", "1", "15", "*/2", "28-31", "1,15", "?"},
		{"*", "*", "*", "1-12", "jan", "MAR-nov/2", "*/3"},
		{"*", "*", "*", "1-5", "mon", "SUN,wed", "6", "0", "*/2", "?"},
	}
	wrong = [][]string{{"60", "61-62", "*/0", "", "a"}, {"24", "23-1", "1-2-3"}, {"0", "32", "5-"}, {"13", "*/"}, {"7", "fri-mon", "1/2/3"}}
	words = []string{"@daily", "@hourly", "@weekly", "@monthly", "@yearly", "@annually", "@midnight", "@reboot", "@every 1h", "0 0 * *", ""}
)

func main() {
	out, err := os.Create(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	zipped := gzip.NewWriter(out)
	text := bufio.NewWriter(zipped)
	draw := rand.New(rand.NewPCG(7, 8))
	for range cases {
		var parts []string
		for place, each := range fields {
			if draw.IntN(40) == 0 {
				each = wrong[place]
			}
			parts = append(parts, each[draw.IntN(len(each))])
		}
		schedule := strings.Join(parts, " ")
		if draw.IntN(20) == 0 {
			schedule = words[draw.IntN(len(words))]
		}
		zone := zones[draw.IntN(len(zones))]
		from := 1767225600 + draw.Int64N(365*86400)
		if draw.IntN(2) == 0 {
			from = edges[draw.IntN(len(edges))] + draw.Int64N(2*86400) - 86400
		}
		fmt.Fprintf(text, "%s\t%s\t%d\t%s\n", schedule, zone, from, next(schedule, zone, from))
	}
	for _, each := range []interface{ Flush() error }{text, zipped} {
		if err := each.Flush(); err != nil {
			log.Fatal(err)
		}
	}
	if err := zipped.Close(); err != nil {
		log.Fatal(err)
	}
}

// next is what the controller does: it puts the zone before the schedule.
func next(schedule, zone string, from int64) string {
	if zone == "" {
		zone = "UTC"
	}
	if strings.HasPrefix(schedule, "@every") { // refused on our side: it does not say when
		return "error"
	}
	parsed, err := cron.ParseStandard("TZ=" + zone + " " + schedule)
	if err != nil {
		return "error"
	}
	var starts []string
	at := time.Unix(from, 0).UTC()
	for range 3 {
		if at = parsed.Next(at); at.IsZero() {
			break
		}
		starts = append(starts, fmt.Sprint(at.Unix()))
	}
	return strings.Join(starts, " ")
}
