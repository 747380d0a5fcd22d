<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `create_recurring` answers. Generated: do not edit. */
final class CreateRecurringResult
{
    /** A sentence for a person. */
    public string $message;
    /** The id of the job, `REC-…`. */
    public string $recurring_id;
    /** When the job charges next. */
    public string $next_run;
    /** The IANA time zone of the job. */
    public string $timezone;
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
        $result->message = $answer['message'];
        $result->recurring_id = $answer['recurring_id'];
        $result->next_run = $answer['next_run'];
        $result->timezone = $answer['timezone'];
        $result->upcoming = $answer['upcoming'] ?? [];

        return $result;
    }
}
