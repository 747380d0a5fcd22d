<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The jobs of this page. Generated: do not edit. */
final class ListRecurringRecurring
{
    /** The id of the job. */
    public string $recurring_id;
    /** The amount of every charge. */
    public string $amount;
    /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
    public string $currency;
    /** The unit of the interval. */
    public string $interval_type;
    /** How many units lie between two charges. */
    public int $interval_value;
    /** The state of the job. */
    public string $status;
    /** When the job charges next, be it a retry. Null when it does not. */
    public ?string $next_run;
    /** When the job last charged. Null when it has not. */
    public ?string $last_run;
    /** How many charges succeeded. */
    public int $executed_cycles;
    /** What the payments are for. */
    public ?string $description;
    /** The user whom the job charges. */
    public string $user_id;
    /** The means that the job charges. */
    public string $source;
    /** The IANA time zone of the job. */
    public string $timezone;
    /** When the job ends. Null: never. */
    public ?string $end_at;
    /** After how many successful charges the job is complete. Null: never. */
    public ?int $max_cycles;
    /** What becomes of occurrences missed in a downtime. */
    public string $catch_up;
    /** The environment of the job. */
    public string $env;
    /** @var list<string> The next dates, as many as `preview` asked for. */
    public array $upcoming;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->recurring_id = $answer['recurring_id'];
        $result->amount = $answer['amount'];
        $result->currency = $answer['currency'];
        $result->interval_type = $answer['interval_type'];
        $result->interval_value = (int) $answer['interval_value'];
        $result->status = $answer['status'];
        $result->next_run = $answer['next_run'] ?? null;
        $result->last_run = $answer['last_run'] ?? null;
        $result->executed_cycles = (int) $answer['executed_cycles'];
        $result->description = $answer['description'] ?? null;
        $result->user_id = $answer['user_id'];
        $result->source = $answer['source'];
        $result->timezone = $answer['timezone'];
        $result->end_at = $answer['end_at'] ?? null;
        $result->max_cycles = isset($answer['max_cycles']) ? (int) $answer['max_cycles'] : null;
        $result->catch_up = $answer['catch_up'];
        $result->env = $answer['env'];
        $result->upcoming = $answer['upcoming'] ?? [];

        return $result;
    }
}
