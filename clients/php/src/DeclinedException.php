<?php

declare(strict_types=1);

namespace Nivisco\Payments;

/** The card was declined, the customer must authenticate, or the wallet holds too little: 402. */
final class DeclinedException extends ApiException
{
}
