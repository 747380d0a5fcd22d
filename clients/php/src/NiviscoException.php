<?php

declare(strict_types=1);

namespace Nivisco\Payments;

/** A call that did not succeed: an ApiException or a NoAnswerException. */
abstract class NiviscoException extends \RuntimeException
{
    private string $action;
    private ?string $idempotencyKey;

    public function __construct(string $message, string $action, ?string $idempotencyKey)
    {
        parent::__construct($message);
        $this->action = $action;
        $this->idempotencyKey = $idempotencyKey;
    }

    public function getAction(): string
    {
        return $this->action;
    }

    /** Under which to repeat the same call, to learn its outcome; null for a read. */
    public function getIdempotencyKey(): ?string
    {
        return $this->idempotencyKey;
    }

    /** Whether what was asked for may have happened all the same. */
    abstract public function isOutcomeUnknown(): bool;
}
