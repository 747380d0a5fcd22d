<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `pause_recurring` answers. Generated: do not edit. */
final class PauseRecurringResult
{
    /** A sentence for a person. */
    public string $message;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->message = $answer['message'];

        return $result;
    }
}
