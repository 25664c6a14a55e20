// River's side of the fleet bench; its verbs are those of fleet_python.py.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const batch = 1000
const pause = 60 * time.Millisecond

type Noop struct {
	At float64 `json:"at"`
}

func (Noop) Kind() string { return "noop" }

type worker struct{ river.WorkerDefaults[Noop] }

func now() float64 { return float64(time.Now().UnixNano()) / 1e9 }

func (worker) Work(_ context.Context, job *river.Job[Noop]) error {
	if job.Args.At > 0 {
		fmt.Println(now() - job.Args.At)
	}
	return nil
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func cpu() float64 {
	var used syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

func main() {
	ctx, verb, url := context.Background(), os.Args[1], os.Args[2]
	n, err := strconv.Atoi(os.Args[3])
	must(err)
	pool, err := pgxpool.New(ctx, url)
	must(err)
	driver := riverpgxv5.New(pool)
	if verb == "setup" {
		migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		must(err)
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
		must(err)
		return
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{})
	config := &river.Config{Workers: workers, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if verb == "work" {
		// As in River's own benchmark: it does not rest between fetches.
		config.FetchCooldown, config.FetchPollInterval = 2*time.Millisecond, 20*time.Millisecond
		config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: n}}
	}
	client, err := river.NewClient(driver, config)
	must(err)
	if verb == "work" {
		fmt.Println("ready")
		must(client.Start(ctx))
		select {}
	}
	one := func(at float64) {
		_, err := client.Insert(ctx, Noop{At: at}, nil)
		must(err)
	}
	one(0)
	began, used := time.Now(), cpu()
	switch verb {
	case "stamped":
		for range n {
			one(now())
			time.Sleep(pause)
		}
		return
	case "one":
		for range n {
			one(0)
		}
	case "bulk":
		for left := n; left > 0; left -= batch {
			_, err := client.InsertManyFast(ctx, noops(min(batch, left)))
			must(err)
		}
	}
	fmt.Println(time.Since(began).Seconds(), cpu()-used)
}

func noops(n int) []river.InsertManyParams {
	jobs := make([]river.InsertManyParams, n)
	for i := range jobs {
		jobs[i] = river.InsertManyParams{Args: Noop{}}
	}
	return jobs
}
